import { shop } from './shop.ts'
import { openStore } from './store.ts'

/** Buys until nothing is left or it is killed: `buyer.ts <database url> <customer> <buyers at once> <naive|real>`. */
const [url = '', customerId = '', buyers = '4', mode = 'real'] = process.argv.slice(2)
const store = await openStore(url)
await shop({ store, customerId, buyers: Number(buyers), isNaive: mode === 'naive' })
await store.close()
