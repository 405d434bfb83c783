import { crc32, crc32WithoutZlib } from './crc32'
import { type TableName, tableNames } from './table-names'

/** Bytes in front of each record. */
export const SEAL_BYTES = 4

/** Below that a call of zlib takes longer than the checksum. */
const SHORT = 64

/** A record whose bytes, or whose key, are not the ones that were written. */
class DamagedRecordError extends Error {
  override readonly name = 'DamagedRecordError'
}

const seeds = Object.fromEntries(
  tableNames.map((name) => [name, crc32WithoutZlib(Buffer.from(`${name}\0`))]),
) as Readonly<Record<TableName, number>>

/** Writes the checksum over table, key and record into the record. */
export function seal(record: Buffer, table: TableName, key: Uint8Array): void {
  record.writeUInt32LE(checksum(record, table, key), 0)
}

/** Throws DamagedRecordError when a record was not written into this table under this key. */
export function checkSeal(record: Buffer, table: TableName, key: Uint8Array): void {
  if (record.length < SEAL_BYTES || record.readUInt32LE(0) !== checksum(record, table, key)) {
    throw new DamagedRecordError(`a record of ${table} does not have the checksum that it was written with`)
  }
}

/** Whether a record has the checksum of format 1, which was over the record alone. */
export function hasFormerSeal(record: Buffer): boolean {
  return record.length >= SEAL_BYTES && record.readUInt32LE(0) === crc32(record.subarray(SEAL_BYTES))
}

function checksum(record: Buffer, table: TableName, key: Uint8Array): number {
  const seed = crc32WithoutZlib(key, seeds[table])
  if (record.length < SHORT) return crc32WithoutZlib(record, seed, SEAL_BYTES)
  return crc32(record.subarray(SEAL_BYTES), seed)
}
