import { defineConfig } from 'vitest/config'

/** Tests of memory, descriptors and time: each file needs a process that no other file has used. */
const alone = ['abuse', 'crash', 'memory', 'soak'].map((room) => `test/${room}/**/*.test.ts`)

const shared = {
  testTimeout: 20_000,
  hookTimeout: 20_000,
  pool: 'forks' as const,
}

export default defineConfig({
  test: {
    globalSetup: ['test/support/temporary-folder.ts'],
    // Vitest would leave one core idle, and the tests take twice as long
    maxWorkers: '100%',
    coverage: { provider: 'v8', include: ['src/**'], reporter: ['text-summary', 'html'] },
    projects: [
      { test: { ...shared, name: 'alone', include: [...alone, 'test/*.test.ts'] } },
      // nothing in src is mutable at module level, so that files can have one process: loading it anew costs a third of the time
      {
        test: {
          ...shared,
          name: 'together',
          include: ['test/**/*.test.ts'],
          exclude: [...alone, 'test/*.test.ts'],
          isolate: false,
        },
      },
    ],
  },
})
