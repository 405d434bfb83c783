import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { MqttError } from '../../protocol/mqtt-error'
import { checkDataFile } from './data-file-check'
import { checkRoomForStore, DataFileRoom, prepareReaderFile } from './data-file-room'
import { Environment, META_KEYS } from './environment'
import { flushFolder, makePrivate, PRIVATE_FOLDER } from './private-files'
import { encodeNumber } from './records'
import { FORMAT, StoreCensus } from './store-census'
import { damaged, messageOf, storeFailed } from './store-error'

export const DATA_FILE = 'data.mdb'
const READER_FILE = 'lock.mdb'
const CREATING = 'creating'

/** Opens what a folder holds, or makes a new store in an empty one. */
export async function openFolder(folder: string, flush: boolean): Promise<Environment> {
  const file = join(folder, DATA_FILE)
  if (existsSync(file)) await check(file)
  else if (existsSync(join(folder, READER_FILE))) {
    throw storeFailed(`${file} is missing, and there was one: restore a backup, or remove the folder to begin empty`)
  } else await create(folder)
  for (const name of [DATA_FILE, READER_FILE]) makePrivate(join(folder, name))
  makeReaderFile(folder)
  return openEnvironment(folder, flush)
}

export async function openEnvironment(folder: string, flush: boolean, beforeTables?: () => void): Promise<Environment> {
  try {
    return await Environment.open(folder, flush, beforeTables)
  } catch (cause) {
    if (cause instanceof MqttError) throw cause
    throw storeFailed(`the store file ${join(folder, DATA_FILE)} cannot be opened: ${messageOf(cause)}`, cause)
  }
}

/** A new file exists whole or not at all, whenever the process ends. */
async function create(folder: string): Promise<void> {
  const creating = join(folder, CREATING)
  rmSync(creating, { recursive: true, force: true })
  mkdirSync(creating, { mode: PRIVATE_FOLDER })
  try {
    checkRoomForStore(creating)
  } catch (cause) {
    throw storeFailed(`the store folder ${folder} has no room for a new store: ${messageOf(cause)}`, cause)
  }
  makeReaderFile(creating)
  const environment = await openEnvironment(creating, true, () => claimFirst(join(creating, DATA_FILE)))
  try {
    await environment.write([
      { table: 'meta', key: META_KEYS.format, value: encodeNumber(FORMAT) },
      { table: 'meta', key: META_KEYS.nextSession, value: encodeNumber(1) },
    ])
  } finally {
    await environment.close()
  }
  renameSync(join(creating, DATA_FILE), join(folder, DATA_FILE))
  rmSync(creating, { recursive: true, force: true })
  flushFolder(folder)
}

function claimFirst(file: string): void {
  const room = new DataFileRoom(file)
  try {
    room.claimFirst()
  } finally {
    room.close()
  }
}

function makeReaderFile(folder: string): void {
  const file = join(folder, READER_FILE)
  try {
    prepareReaderFile(file)
  } catch (cause) {
    throw storeFailed(`the store file ${file} cannot be written: ${messageOf(cause)}`, cause)
  }
}

async function check(file: string): Promise<void> {
  try {
    const census = new StoreCensus(file)
    await checkDataFile(file, census)
    census.finish()
  } catch (cause) {
    throw cause instanceof MqttError ? cause : damaged(file, cause)
  }
}
