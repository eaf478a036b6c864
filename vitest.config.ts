import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

/**
 * Three projects by what they need: `unit` nothing but sockets, `stores` a real redis-server or database
 * of its own, `e2e` the whole gateway with simulator, stores and browser. File names decide.
 */
export default defineConfig({
  test: {
    restoreMocks: true,
    unstubEnvs: true,
    // Tests mostly wait: with as many workers as cores a quarter of the processor time is left over.
    maxWorkers: availableParallelism() + 1,
    globalSetup: ['test/support/run-setup.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts'],
          exclude: ['**/*.redis.test.ts', '**/*.sql.test.ts'],
          // More than the 10 s that they wait for a condition on a busy machine.
          testTimeout: 15_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'stores',
          include: ['{src,test}/**/*.{redis,sql}.test.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 },
      },
    ],
  },
})
