/** Of a bench's own installation only; nothing that anybody else sees is encrypted with it. */
export const BENCH_SECRET_KEY = Buffer.alloc(32, 9)
