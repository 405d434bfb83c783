import { MqttError } from '../../protocol/mqtt-error'

export function storeFailed(message: string, cause?: unknown): MqttError {
  return new MqttError('GNATMQ_STORE_FAILED', message, cause === undefined ? {} : { cause })
}

export function damaged(file: string, cause: unknown): MqttError {
  return storeFailed(
    `the store file ${file} is damaged: ${messageOf(cause)}. Restore a backup, or move the file away to begin empty`,
    cause,
  )
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
