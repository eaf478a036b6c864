#!/usr/bin/env node
// Plain JavaScript, so that an older Node says what is missing instead of a syntax error.
const required = 24
if (Number(process.versions.node.split('.')[0]) < required) {
  console.error(
    `Callhalf needs Node ${required} or newer; this is ${process.versions.node}. ` +
      'In a checkout, run it through npm (npm run demo, npm start): npm uses the pinned Node.',
  )
  process.exitCode = 1
} else {
  const { main } = await import('../src/main.ts')
  await main(process.argv.slice(2))
}
