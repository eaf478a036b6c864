import type { CommandType } from '../../core/command.ts'
import { answer } from './answer.ts'
import { dial } from './dial.ts'
import { end } from './end.ts'
import type { CommandRunner } from './exchange.ts'
import { runnerOf } from './exchange.ts'
import { hold } from './hold.ts'
import { list } from './list.ts'
import { resume } from './resume.ts'

/** How each command is carried out. */
export const COMMANDS: { readonly [Type in CommandType]: CommandRunner<Type> } = {
  dial: runnerOf(dial),
  answer: runnerOf(answer),
  hold: runnerOf(hold),
  resume: runnerOf(resume),
  end: runnerOf(end),
  list,
}
