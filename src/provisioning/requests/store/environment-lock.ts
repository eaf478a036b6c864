import type { Queries } from '../../store/database.ts'

/**
 * Lets the changes to what an environment defines follow one another until the transaction ends. Reading, and what
 * requests and orders do, goes on meanwhile.
 */
export async function lockEnvironment(tx: Queries, environmentId: number): Promise<void> {
  await tx
    .selectFrom('environments')
    .select('environment_id')
    .where('environment_id', '=', environmentId)
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow()
}

/** Keeps what an environment defines, its safeguards included, as it is until the transaction ends. */
export async function shareEnvironment(tx: Queries, environmentId: number): Promise<void> {
  await tx
    .selectFrom('environments')
    .select('environment_id')
    .where('environment_id', '=', environmentId)
    .forShare()
    .executeTakeFirstOrThrow()
}
