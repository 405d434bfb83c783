import { defineConfig } from 'tsup'

const shared = {
  target: 'node20',
  dts: true,
  sourcemap: true,
  splitting: true,
  shims: true,
  // optional packages are loaded when they are needed, and may be missing
  external: ['@peculiar/x509', 'pkijs', 'reflect-metadata', 'node-forge', 'lmdb'],
} as const

export default defineConfig([
  {
    ...shared,
    format: ['esm'],
    entry: {
      index: 'src/index.ts',
      'testing/index': 'src/testing/index.ts',
      'persistence/lmdb/index': 'src/persistence/lmdb/index.ts',
      'cli/main': 'src/cli/main.ts',
    },
  },
  {
    ...shared,
    format: ['cjs'],
    entry: {
      index: 'src/index.ts',
      'testing/index': 'src/testing/index.ts',
      'persistence/lmdb/index': 'src/persistence/lmdb/index.ts',
    },
  },
])
