// Loaded before a snippet: the standard ports may be taken on this machine, so who listens on one of them gets another,
// and who connects to it is led there. The files of one folder say where each port has gone.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'

const folder = process.env.MOVED_PORTS
const standard = [1883, 8883, 8083, 8084, 3000, 6379]

const fileOf = (port) => join(folder, String(port))
const movedTo = (port) => (existsSync(fileOf(port)) ? Number(readFileSync(fileOf(port), 'utf8')) : 0)

/** At once: a reader sees the whole number or none. */
function note(port, other) {
  writeFileSync(`${fileOf(port)}.new`, String(other))
  renameSync(`${fileOf(port)}.new`, fileOf(port))
}

const { listen } = net.Server.prototype
net.Server.prototype.listen = function (first, ...rest) {
  const withOptions = typeof first === 'object' && first !== null
  const port = Number(withOptions ? first.port : first)
  if (!standard.includes(port)) return listen.call(this, first, ...rest)
  this.once('listening', () => note(port, this.address().port))
  const other = movedTo(port)
  return listen.call(this, withOptions ? { ...first, port: other } : other, ...rest)
}

const { connect } = net.Socket.prototype
net.Socket.prototype.connect = function (...args) {
  // Node hands on its arguments in an array that it has marked
  const holder = Array.isArray(args[0]) ? args[0] : args
  const port = Number(holder[0]?.port)
  if (standard.includes(port)) holder[0] = { ...holder[0], port: movedTo(port) }
  return connect.apply(this, args)
}
