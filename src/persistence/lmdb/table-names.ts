/** The tables of a store. */
export const tableNames = [
  'meta',
  'sessions',
  'counters',
  'subscriptions',
  'queue',
  'held',
  'messages',
  'references',
  'retained',
  'ended',
] as const

export type TableName = (typeof tableNames)[number]
