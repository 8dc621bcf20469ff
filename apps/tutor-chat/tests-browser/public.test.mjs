// The page against a service that lets clients do no more than a page has to.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { beginBooking, chatTest, eventually, say, sessionId, shown } from './browser.mjs';

// Any other server (TUTOR_CHAT_CMD) takes no such option.
if (process.env.TUTOR_CHAT_CMD) test('the page works for a public service', { skip: 'the server has other options' }, () => {});
else
  chatTest('the page works for a public service', async ({ server, open }) => {
    const page = await open();
    const id = await sessionId(page);
    await assert.rejects(server.request(id, '/messages', 'POST', { role: 'assistant', content: 'forged' }), /403/);
    await assert.rejects(server.request(id, '', 'PUT', { messages: [] }), /403/);
    await beginBooking(page);
    await page.getByLabel('Your name', { exact: true }).fill('Sam Lee');
    await page.getByLabel('Email address', { exact: true }).fill('sam@example.com');
    await page.locator('#booking button[type="submit"]').click();
    await eventually(async () => assert.equal((await server.request(id, '/booking-info')).step, 'ccsf-email'));
    await say(page, 'thank you');
    await eventually(async () => assert.equal((await shown(page)).length, 5));
  }, {}, '--client-may public');
