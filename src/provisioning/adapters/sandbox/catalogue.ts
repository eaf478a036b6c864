import type { OrderAction } from '../../model/order.ts'

/** A product as the sandbox catalogue offers it; prices are [one-time, monthly] by currency. */
export type SeedProduct = {
  readonly productId: string
  readonly name: string
  /** Absent: a messaging product, which numbers of any kind may have. */
  readonly numberType?: 'local' | 'tollFree' | 'mobile' | 'national'
  readonly countries: readonly string[]
  readonly features: readonly string[]
  readonly actions: readonly OrderAction[]
  readonly prices: Readonly<Record<string, readonly [oneTime: string, monthly: string]>>
}

/** Numbers of a product, one after the other. */
export type SeedBlock = {
  readonly productId: string
  readonly country: string
  /** The first one; `count` follow on. */
  readonly first: string
  readonly count: number
  /** How its digits begin after the country's calling code. */
  readonly areaCode: string
  /** Numbers that no city has go without. */
  readonly city?: { readonly name: string; readonly region: string }
  /** Whether it is the numbers that something is to go wrong with which are wanted. */
  readonly isMagic?: true
}

const NUMBER_ACTIONS: readonly OrderAction[] = [
  'any',
  'port',
  'reserve',
  'range',
  'move',
  'change',
  'delete',
  'deleteAll',
]
const VOICE = ['fax', 'sms', 'voice']
const VOICE_ONLY = ['fax', 'voice']
const LOCAL_PRICES: SeedProduct['prices'] = {
  USD: ['1.00', '1.25'],
  EUR: ['0.90', '1.15'],
  GBP: ['0.80', '1.00'],
  CAD: ['1.35', '1.70'],
}
const TOLL_FREE_PRICES: SeedProduct['prices'] = {
  USD: ['2.00', '2.495'],
  EUR: ['1.80', '2.295'],
  GBP: ['1.60', '1.99'],
  CAD: ['2.70', '3.35'],
}
const local = (country: string, name: string, features = VOICE): SeedProduct => ({
  productId: `prd_${country.toLowerCase()}-local`,
  name: `${name}: local number`,
  numberType: 'local',
  countries: [country],
  features,
  actions: NUMBER_ACTIONS,
  prices: LOCAL_PRICES,
})
const other = (country: string, type: 'tollFree' | 'mobile' | 'national', name: string): SeedProduct => ({
  productId: `prd_${country.toLowerCase()}-${type === 'tollFree' ? 'toll-free' : type}`,
  name,
  numberType: type,
  countries: [country],
  features: type === 'mobile' ? VOICE : VOICE_ONLY,
  actions: NUMBER_ACTIONS,
  prices: type === 'tollFree' ? TOLL_FREE_PRICES : LOCAL_PRICES,
})

const MAGIC_PRODUCT_ID = 'prd_zz-faults'
const MESSAGING_PRODUCT_ID = 'prd_text-enablement'

export const SEED_PRODUCTS: readonly SeedProduct[] = [
  local('US', 'United States'),
  { ...local('US', 'United States'), productId: MAGIC_PRODUCT_ID, name: 'United States: numbers that go wrong' },
  other('US', 'tollFree', 'United States: toll-free number'),
  local('CA', 'Canada'),
  local('GB', 'United Kingdom', VOICE_ONLY),
  other('GB', 'tollFree', 'United Kingdom: freephone number'),
  other('GB', 'national', 'United Kingdom: UK-wide number'),
  local('DE', 'Germany', VOICE_ONLY),
  other('DE', 'mobile', 'Germany: mobile number'),
  local('FR', 'France', VOICE_ONLY),
  local('AU', 'Australia', VOICE_ONLY),
  local('SE', 'Sweden', VOICE_ONLY),
  other('SE', 'mobile', 'Sweden: mobile number'),
  {
    productId: MESSAGING_PRODUCT_ID,
    name: 'Text enablement',
    countries: ['US', 'CA'],
    features: ['sms'],
    actions: ['add', 'change', 'delete', 'deleteAll'],
    prices: { USD: ['0.00', '5.00'], EUR: ['0.00', '4.60'], GBP: ['0.00', '4.00'], CAD: ['0.00', '6.75'] },
  },
]

/** North American numbers 555-0100 to 555-0199 are set aside for fiction in every area. */
const nanp = (country: 'US' | 'CA', areaCode: string, name: string, region: string): SeedBlock => ({
  productId: `prd_${country.toLowerCase()}-local`,
  country,
  first: `+1${areaCode}5550100`,
  count: 100,
  areaCode,
  city: { name, region },
})
const tollFree = (areaCode: string): SeedBlock => ({
  productId: 'prd_us-toll-free',
  country: 'US',
  first: `+1${areaCode}5550100`,
  count: 100,
  areaCode,
})
/** Ofcom's numbers for drama: a thousand for each of these areas. */
const gb = (areaCode: string, rest: string, name: string, region: string): SeedBlock => ({
  productId: 'prd_gb-local',
  country: 'GB',
  first: `+44${areaCode}${rest}000`,
  count: 1_000,
  areaCode,
  city: { name, region },
})
/** The Bundesnetzagentur's numbers for films. */
const de = (areaCode: string, rest: string, name: string, region: string): SeedBlock => ({
  productId: 'prd_de-local',
  country: 'DE',
  first: `+49${areaCode}${rest}000`,
  count: 1_000,
  areaCode,
  city: { name, region },
})
/** Arcep's numbers for works of fiction: ten thousand for each area, of which some are offered. */
const fr = (areaCode: string, rest: string, name: string, region: string): SeedBlock => ({
  productId: 'prd_fr-local',
  country: 'FR',
  first: `+33${areaCode}${rest}1000`,
  count: 500,
  areaCode,
  city: { name, region },
})
/** ACMA's numbers for creative works. */
const au = (areaCode: string, name: string, region: string): SeedBlock => ({
  productId: 'prd_au-local',
  country: 'AU',
  first: `+61${areaCode}55501000`,
  count: 200,
  areaCode,
  city: { name, region },
})

export const SEED_BLOCKS: readonly SeedBlock[] = [
  nanp('US', '212', 'New York', 'NY'),
  nanp('US', '213', 'Los Angeles', 'CA'),
  nanp('US', '312', 'Chicago', 'IL'),
  nanp('US', '713', 'Houston', 'TX'),
  nanp('US', '602', 'Phoenix', 'AZ'),
  nanp('US', '215', 'Philadelphia', 'PA'),
  nanp('US', '619', 'San Diego', 'CA'),
  nanp('US', '214', 'Dallas', 'TX'),
  nanp('US', '512', 'Austin', 'TX'),
  nanp('US', '415', 'San Francisco', 'CA'),
  nanp('US', '206', 'Seattle', 'WA'),
  nanp('US', '303', 'Denver', 'CO'),
  nanp('US', '617', 'Boston', 'MA'),
  nanp('US', '305', 'Miami', 'FL'),
  nanp('US', '404', 'Atlanta', 'GA'),
  nanp('US', '202', 'Washington', 'DC'),
  nanp('US', '503', 'Portland', 'OR'),
  nanp('US', '702', 'Las Vegas', 'NV'),
  nanp('US', '612', 'Minneapolis', 'MN'),
  { ...nanp('US', '907', 'Anchorage', 'AK'), productId: MAGIC_PRODUCT_ID, isMagic: true },
  { ...nanp('US', '808', 'Honolulu', 'HI'), productId: MAGIC_PRODUCT_ID, isMagic: true },
  tollFree('800'),
  tollFree('888'),
  tollFree('877'),
  tollFree('866'),
  nanp('CA', '416', 'Toronto', 'ON'),
  nanp('CA', '514', 'Montréal', 'QC'),
  nanp('CA', '604', 'Vancouver', 'BC'),
  nanp('CA', '403', 'Calgary', 'AB'),
  nanp('CA', '613', 'Ottawa', 'ON'),
  gb('20', '79460', 'London', 'England'),
  gb('121', '4960', 'Birmingham', 'England'),
  gb('161', '4960', 'Manchester', 'England'),
  gb('131', '4960', 'Edinburgh', 'Scotland'),
  gb('29', '20180', 'Cardiff', 'Wales'),
  { productId: 'prd_gb-toll-free', country: 'GB', first: '+448081570000', count: 500, areaCode: '808' },
  { productId: 'prd_gb-national', country: 'GB', first: '+443069990000', count: 500, areaCode: '306' },
  de('30', '23125', 'Berlin', 'BE'),
  de('40', '66969', 'Hamburg', 'HH'),
  de('69', '90009', 'Frankfurt am Main', 'HE'),
  de('89', '99998', 'München', 'BY'),
  { productId: 'prd_de-mobile', country: 'DE', first: '+491713920000', count: 100, areaCode: '171' },
  { productId: 'prd_de-mobile', country: 'DE', first: '+4917604069000', count: 100, areaCode: '176' },
  fr('1', '9900', 'Paris', 'Île-de-France'),
  fr('2', '6191', 'Nantes', 'Pays de la Loire'),
  fr('4', '6571', 'Lyon', 'Auvergne-Rhône-Alpes'),
  au('2', 'Sydney', 'NSW'),
  au('3', 'Melbourne', 'VIC'),
  {
    productId: 'prd_se-local',
    country: 'SE',
    first: '+46846500400',
    count: 96,
    areaCode: '8',
    city: { name: 'Stockholm', region: 'Stockholm' },
  },
  {
    productId: 'prd_se-local',
    country: 'SE',
    first: '+46313900600',
    count: 100,
    areaCode: '31',
    city: { name: 'Göteborg', region: 'Västra Götaland' },
  },
  { productId: 'prd_se-mobile', country: 'SE', first: '+46701740605', count: 95, areaCode: '70' },
]
