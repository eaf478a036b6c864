import { expect, test } from 'vitest'
import { buildChannel, buildEventResponse, buildSubscription } from './build.ts'

test('a channel add has its elements in the order of the XSD', () => {
  expect(
    buildChannel({ applicationId: 'callhalf', expiresSeconds: 3600, weight: 50, priority: 1, channelSetId: 'set-1' }),
  ).toBe(
    '<?xml version="1.0" encoding="UTF-8"?><Channel xmlns="http://schema.broadsoft.com/xsi"><channelSetId>set-1</channelSetId><priority>1</priority><weight>50</weight><expires>3600</expires><applicationId>callhalf</applicationId></Channel>',
  )
})

test('a channel refresh has nothing but expires', () => {
  expect(buildChannel({ expiresSeconds: 3600 })).toBe(
    '<?xml version="1.0" encoding="UTF-8"?><Channel xmlns="http://schema.broadsoft.com/xsi"><expires>3600</expires></Channel>',
  )
})

test('a subscription has expires before its channel set', () => {
  expect(
    buildSubscription({
      event: 'Advanced Call',
      channelSetId: 'set-1',
      expiresSeconds: 86_400,
      applicationId: 'callhalf',
    }),
  ).toBe(
    '<?xml version="1.0" encoding="UTF-8"?><Subscription xmlns="http://schema.broadsoft.com/xsi"><event>Advanced Call</event><expires>86400</expires><channelSetId>set-1</channelSetId><applicationId>callhalf</applicationId></Subscription>',
  )
})

test('an acknowledgement has all three elements, with what is special in XML escaped', () => {
  expect(buildEventResponse({ eventId: 'e<1>&"', statusCode: 200, reason: 'OK' })).toBe(
    '<?xml version="1.0" encoding="UTF-8"?><EventResponse xmlns="http://schema.broadsoft.com/xsi"><eventID>e&lt;1&gt;&amp;&quot;</eventID><statusCode>200</statusCode><reason>OK</reason></EventResponse>',
  )
})
