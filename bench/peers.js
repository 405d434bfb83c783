import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Child, pinned } from './children.js'

/** A broker in Node, as a child that reports its own CPU time. */
class NodePeer {
  constructor(name, module) {
    this.name = name
    this.module = module
  }

  async start({ cores, dist, tls }) {
    this.child = await Child.start(this.module, cores)
    this.port = await this.child.ask('start', { dist, tls: tls && { cert: tls.cert, key: tls.key } })
  }

  usage() {
    return this.child.ask('usage')
  }

  async stop() {
    await this.child?.stop()
  }
}

/** Mosquitto from the PATH. Its CPU time is in /proc; where there is none, its figures are rates only. */
class Mosquitto {
  name = 'mosquitto'

  async start({ cores, tls }) {
    this.folder = await mkdtemp(join(tmpdir(), 'gnatmq-bench-'))
    this.port = await freePort()
    const lines = [
      `listener ${this.port} 127.0.0.1`,
      'allow_anonymous true',
      'persistence false',
      'log_dest none',
      'max_queued_messages 0',
      'max_inflight_messages 0',
      `user ${userInfo().username}`,
    ]
    if (tls) {
      for (const part of ['cert', 'key']) await writeFile(join(this.folder, `${part}.pem`), tls[part], { mode: 0o600 })
      lines.push(
        `certfile ${join(this.folder, 'cert.pem')}`,
        `keyfile ${join(this.folder, 'key.pem')}`,
        'tls_version tlsv1.3',
      )
    }
    const file = join(this.folder, 'mosquitto.conf')
    await writeFile(file, `${lines.join('\n')}\n`)
    const [command, args] = pinned(cores, 'mosquitto', ['-c', file])
    this.process = spawn(command, args, { stdio: 'ignore' })
    this.process.on('error', () => {})
    await this.#listening()
  }

  async #listening() {
    for (let attempt = 0; attempt < 100; attempt++) {
      if (this.process.exitCode !== null) throw new Error(`mosquitto ended with ${this.process.exitCode}`)
      const socket = net.connect(this.port, '127.0.0.1')
      const connected = await once(socket, 'connect').then(
        () => true,
        () => false,
      )
      socket.destroy()
      if (connected) return
      await sleep(50)
    }
    throw new Error('mosquitto does not listen')
  }

  usage() {
    const { pid } = this.process
    return { cpuMicros: cpuMicrosOf(pid), rssBytes: rssBytesOf(pid) }
  }

  async stop() {
    if (this.process?.exitCode === null) {
      const exit = once(this.process, 'exit')
      this.process.kill('SIGKILL')
      await exit
    }
    if (this.folder) await rm(this.folder, { recursive: true, force: true })
  }
}

/** Nanoseconds of the scheduler, where it counts them; else the ticks of a hundredth of a second. */
function cpuMicrosOf(pid) {
  try {
    let nanoseconds = 0
    for (const task of readdirSync(`/proc/${pid}/task`))
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
    if (nanoseconds > 0) return nanoseconds / 1000
  } catch {}
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10_000
  } catch {
    return Number.NaN
  }
}

function rssBytesOf(pid) {
  try {
    return Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024
  } catch {
    return Number.NaN
  }
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

const makers = {
  gnatmq: () => new NodePeer('gnatmq', './brokers/gnatmq.js'),
  aedes: () => new NodePeer('aedes', './brokers/aedes.js'),
  mosquitto: () => new Mosquitto(),
  relay: () => new NodePeer('relay', './relay.js'),
}

export async function startPeer(name, settings) {
  const peer = makers[name]()
  try {
    await peer.start(settings)
  } catch (error) {
    await peer.stop()
    throw error
  }
  return peer
}

/** The version of Mosquitto on the PATH, or null. */
export function mosquittoVersion() {
  const { stdout } = spawnSync('mosquitto', ['-h'], { encoding: 'utf8' })
  return /mosquitto version (\S+)/.exec(stdout ?? '')?.[1] ?? null
}

/** Aedes is installed into this folder when it is wanted and missing. Answers its version. */
export function installedAedes() {
  const folder = fileURLToPath(new URL('.', import.meta.url))
  const description = join(folder, 'node_modules/aedes/package.json')
  if (!existsSync(description)) {
    console.log('installing aedes into bench/ …')
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
    const { status } = spawnSync(npm, ['ci', '--prefix', folder, '--no-audit', '--no-fund'], {
      stdio: ['ignore', 'ignore', 'inherit'],
      shell: process.platform === 'win32',
    })
    if (status !== 0) throw new Error('npm ci --prefix bench failed: without aedes, choose others with --peers')
  }
  return JSON.parse(readFileSync(description, 'utf8')).version
}
