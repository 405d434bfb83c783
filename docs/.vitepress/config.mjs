import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'

const docs = fileURLToPath(new URL('..', import.meta.url))
const project = resolve(docs, '..')
const { homepage, description } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
const repository = homepage.replace(/#.*/, '')

const page = (path) => ({ text: titleOf(path), link: `/${path}` })

/** The first heading of a page. */
function titleOf(path) {
  const [, title] = /^# (.+)$/m.exec(readFileSync(join(docs, `${path}.md`), 'utf8'))
  return title.replaceAll('`', '')
}

const guides = [
  'getting-started',
  'certificates',
  'embedding',
  'in-process',
  'authorization',
  'websocket',
  'persistence',
  'messaging',
  'testing',
  'operating',
  'migrating-from-aedes',
  'migrating-from-gnatmq-net',
  'migrating-from-mosquitto',
  'faq',
]
const reference = ['options', 'memory', 'hooks', 'events', 'objects', 'errors', 'listeners', 'stores', 'command-line', 'testing']

/** The API's pages: a group for each entry point, and in it one for each kind of export. */
function apiItems() {
  return ['gnatmq', 'gnatmq/lmdb', 'gnatmq/testing'].map((entry) => ({
    text: entry,
    link: `/api/${entry}/`,
    collapsed: entry !== 'gnatmq',
    items: ['classes', 'functions', 'interfaces', 'type-aliases', 'variables'].flatMap((kind) => {
      const folder = join(docs, 'api', entry, kind)
      if (!existsSync(folder)) return []
      const names = readdirSync(folder).map((file) => file.replace(/\.md$/, ''))
      const items = names.map((name) => ({ text: name, link: `/api/${entry}/${kind}/${name}` }))
      return [{ text: kind.replace('-', ' '), collapsed: true, items }]
    }),
  }))
}

/** A link to a file that is no page leads to the repository; links within the pages are checked by VitePress. */
function linkToRepository(markdown) {
  markdown.core.ruler.push('repository-links', ({ tokens, env }) => {
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === 'link_open' ? token.attrGet('href') : null
      if (href === null || /^(\w+:|#|\/)/.test(href)) continue
      const [path, anchor] = href.split('#')
      const file = resolve(dirname(env.path), path)
      if (!relative(docs, file).startsWith('..')) continue
      if (!existsSync(file)) throw new Error(`${env.path} links to ${href}, which is not there`)
      token.attrSet('href', `${repository}/blob/main/${relative(project, file)}${anchor ? `#${anchor}` : ''}`)
    }
  })
}

export default defineConfig({
  title: 'gnatmq',
  description,
  lang: 'en',
  cleanUrls: false,
  lastUpdated: false,
  // a link to a page that is not there fails the build
  ignoreDeadLinks: false,
  srcExclude: ['node_modules/**'],
  // no request for an icon that is not there
  head: [['link', { rel: 'icon', href: 'data:,' }], ['meta', { name: 'theme-color', content: '#0f766e' }]],
  markdown: { config: linkToRepository },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      { text: 'Guides', link: '/guides/getting-started', activeMatch: '/guides/' },
      { text: 'Reference', link: '/reference/options', activeMatch: '/reference/' },
      { text: 'API', link: '/api/', activeMatch: '/api/' },
    ],
    sidebar: {
      '/api/': [{ text: 'API', link: '/api/', items: apiItems() }],
      '/': [
        { text: 'Guides', items: guides.map((name) => page(`guides/${name}`)) },
        { text: 'Reference', items: reference.map((name) => page(`reference/${name}`)) },
        { text: 'More', items: ['queues', 'benchmarks', 'conformance'].map(page) },
      ],
    },
    socialLinks: [{ icon: 'github', link: repository }],
  },
})
