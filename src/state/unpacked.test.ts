import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { libraryPathOf } from './unpacked.ts'

test('an unpacked program finds libraries in lib, in usr/lib and in the folders of packages below', async () => {
  const root = await mkdtemp(join(tmpdir(), 'callhalf-unpacked-'))
  onTestFinished(() => rm(root, { recursive: true }))
  const files = [
    'lib/x86_64-linux-gnu/libkeyutils.so.1.10',
    'usr/lib/x86_64-linux-gnu/libpq.so.5',
    'usr/lib/x86_64-linux-gnu/pulseaudio/libpulsecommon-16.1.so',
    'usr/lib/systemd/system/dbus.socket',
    'usr/bin/tool.so',
  ]
  for (const file of files) {
    await mkdir(join(root, dirname(file)), { recursive: true })
    await writeFile(join(root, file), '')
  }
  expect((await libraryPathOf(root)).split(':').toSorted()).toEqual([
    join(root, 'lib/x86_64-linux-gnu'),
    join(root, 'usr/lib/x86_64-linux-gnu'),
    join(root, 'usr/lib/x86_64-linux-gnu/pulseaudio'),
  ])
})
