/** Where a session is in its life (section 4.1). */
export const SessionState = {
  /** It has a connection, or is about to have one. */
  Connected: 0,
  /** Its client is away. */
  Absent: 1,
  /** Nothing is delivered to it any more, and the messages that others are to have of it are still being read. */
  Closing: 2,
  /** It is found no more. */
  Ended: 3,
} as const

export type SessionState = (typeof SessionState)[keyof typeof SessionState]

/** What moves a session on: its client is back, its client is gone, its end begins, its end. */
export type SessionEvent = 'resume' | 'suspend' | 'close' | 'end'

/** The next state by state and event. null: the event cannot come in that state. */
export const sessionTable: Readonly<Record<SessionState, Readonly<Record<SessionEvent, SessionState | null>>>> = {
  [SessionState.Connected]: {
    resume: null,
    suspend: SessionState.Absent,
    close: SessionState.Closing,
    end: SessionState.Ended,
  },
  [SessionState.Absent]: {
    resume: SessionState.Connected,
    suspend: null,
    close: SessionState.Closing,
    end: SessionState.Ended,
  },
  [SessionState.Closing]: { resume: null, suspend: null, close: null, end: SessionState.Ended },
  // a session that ended with its connection was perhaps to be closed
  [SessionState.Ended]: { resume: null, suspend: null, close: SessionState.Ended, end: null },
}
