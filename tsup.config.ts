import { defineConfig, type Options } from 'tsup'

const entries = {
  index: 'src/index.ts',
  'testing/index': 'src/testing/index.ts',
  'persistence/lmdb/index': 'src/persistence/lmdb/index.ts',
  'cluster/redis/index': 'src/cluster/redis/index.ts',
  'observability/metrics/index': 'src/observability/metrics/index.ts',
  'plugins/fastify': 'src/plugins/fastify.ts',
  'plugins/nestjs/index': 'src/plugins/nestjs/index.ts',
}

// No source maps: the bundles are not minified, and the maps were half of the package.
const shared: Options = {
  target: 'node20',
  shims: true,
  // optional packages are loaded when they are needed, and may be missing
  external: ['@peculiar/x509', 'pkijs', 'reflect-metadata', 'node-forge', 'lmdb', 'fastify-plugin'],
}

// tsup splits CommonJS by rewriting it in older JavaScript, which renames classes and slows the broker down. So each
// entry is one bundle, and only the error class, which `instanceof` compares, is a file that all of them require. The plugins and the
// test kit require the main entry: their broker is the application's.
const errors = 'protocol/mqtt-error'

const oneClass = (entry: string): NonNullable<Options['esbuildPlugins']>[number] => ({
  name: 'one-class',
  setup(build) {
    const root = entry.includes('/') ? '../'.repeat(entry.split('/').length - 1) : './'
    build.onResolve({ filter: /\/mqtt-error$/ }, () => ({ path: `${root}${errors}.cjs`, external: true }))
    if (entry.startsWith('plugins/') || entry.startsWith('testing/'))
      build.onResolve({ filter: /^(\.\.\/)+index$/ }, () => ({ path: `${root}index.cjs`, external: true }))
  },
})

export default defineConfig([
  { ...shared, format: ['esm'], dts: true, splitting: true, entry: { ...entries, 'cli/main': 'src/cli/main.ts' } },
  { ...shared, format: ['cjs'], dts: { only: true }, entry: entries },
  { ...shared, format: ['cjs'], splitting: false, entry: { [errors]: `src/${errors}.ts` } },
  ...Object.entries(entries).map(
    ([name, file]): Options => ({
      ...shared,
      format: ['cjs'],
      splitting: false,
      entry: { [name]: file },
      esbuildPlugins: [oneClass(name)],
    }),
  ),
])
