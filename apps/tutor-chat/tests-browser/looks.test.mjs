// The page as a person sees it and a screen reader hears it. The screenshots under
// target/screenshots/ are for a person to look at.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { EVERYTHING, ROOT } from './server.mjs';
import { beginBooking, chatTest, eventually, findTutor, offline, say, settled, shown } from './browser.mjs';

const FOLDER = path.join(ROOT, 'target/screenshots');
fs.mkdirSync(FOLDER, { recursive: true });
const shoot = async (page, name) => {
  await settled(page);
  await page.screenshot({ path: path.join(FOLDER, `${name}.png`), animations: 'disabled' });
};

const PHONE = { viewport: { width: 375, height: 720 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };
const LOOKS = {
  desktop: {},
  dark: { colorScheme: 'dark' },
  phone: PHONE,
  'phone-dark': { ...PHONE, colorScheme: 'dark' },
};

for (const [look, options] of Object.entries(LOOKS)) {
  chatTest(`${look}: nothing is cut off, every control has a name`, async ({ server, open }) => {
    const page = await open();
    await shoot(page, `${look}-1-start`);
    await findTutor(page);
    await shoot(page, `${look}-2-match`);
    await page.locator('.card').getByRole('button', { name: /^Book / }).click();
    await page.getByLabel('Your name').fill('Sam Lee');
    await page.getByRole('button', { name: 'Next' }).click();
    await shoot(page, `${look}-3-booking`);
    await fits(page);
    await named(page);
    await readable(page);

    await server.kill();
    await offline(page);
    await say(page, 'Are you still there? I would like to ask about something that takes more than one line to say.');
    await page.getByText('Not sent yet, kept here').waitFor();
    await page.screenshot({ path: path.join(FOLDER, `${look}-4-offline.png`), animations: 'disabled' });
    await fits(page);
  }, options);
}

chatTest('the narrowest phone has no sideways scrolling', async ({ open }) => {
  const page = await open();
  await beginBooking(page);
  await fits(page);
  await page.getByRole('button', { name: 'Start over' }).click();
  await fits(page);
}, { viewport: { width: 320, height: 568 } });

chatTest('a screen reader hears new answers only', async ({ open }) => {
  const page = await open();
  await findTutor(page);
  const heard = () => page.locator('#announcer').textContent();
  await eventually(async () => assert.match(await heard(), /Assistant: .*Amara Okafor/));
  assert.doesNotMatch(await heard(), /python tutor/);
  await page.reload();
  await page.locator('.card').waitFor();
  assert.equal(await heard(), '');
});

chatTest('everything can be reached and used by keyboard', async ({ open }) => {
  const page = await open();
  await findTutor(page);
  const reached = [];
  await page.locator('body').evaluate(() => document.activeElement.blur());
  for (let i = 0; i < 20; i += 1) {
    await page.keyboard.press('Tab');
    reached.push(await page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim() ?? ''));
    const ring = await page.evaluate(() => document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== 'none');
    assert.ok(ring, `no visible focus on ${reached.at(-1)}`);
  }
  for (const name of ['Copy link', 'Start over', 'Conversation', 'Send']) assert.ok(reached.includes(name), `${name}: ${reached}`);
  assert.ok(reached.some(name => name.startsWith('Book Amara')), String(reached));

  await page.getByRole('button', { name: 'Start over' }).press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Keep it');
  await page.keyboard.press('Enter');
  assert.equal((await shown(page)).length, 3);
});

chatTest('new messages below do not move the view', async ({ server, open }) => {
  const page = await open();
  for (let i = 0; i < 12; i += 1) await say(page, `line ${i}\nand more`);
  await settled(page);
  await page.locator('#scroller').evaluate(element => {
    element.scrollTop = 0;
  });
  const id = await page.evaluate(() => localStorage.getItem('chatSessionId'));
  await server.request(id, '/messages', 'POST', { role: 'assistant', content: 'psst, down here' });
  await page.getByRole('button', { name: 'New messages ↓' }).waitFor();
  assert.equal(await page.locator('#scroller').evaluate(element => element.scrollTop), 0);
  await page.getByRole('button', { name: 'New messages ↓' }).click();
  await eventually(async () => assert.ok(await page.locator('#scroller').evaluate(element => element.scrollHeight - element.scrollTop - element.clientHeight < 5)));
}, {}, EVERYTHING);

chatTest('with the setting for less motion nothing moves', async ({ open }) => {
  const page = await open();
  assert.equal(await page.locator('.message').first().evaluate(element => getComputedStyle(element).animationName), 'none');
}, { reducedMotion: 'reduce' });

/** Nothing sticks out sideways. */
async function fits(page) {
  const wide = await page.evaluate(() => [...document.querySelectorAll('body *')]
    .filter(element => !element.closest('.visually-hidden') && element.getClientRects().length > 0)
    .filter(element => element.getBoundingClientRect().right > window.innerWidth + 1)
    .map(element => element.outerHTML.slice(0, 100)));
  assert.deepEqual(wide, []);
}

/** Every control has a name that a screen reader can say, and no id stands twice. */
async function named(page) {
  const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, textarea, a')]
    .filter(element => !(element.getAttribute('aria-label') || element.labels?.length || element.textContent.trim()))
    .map(element => element.outerHTML));
  assert.deepEqual(nameless, []);
  const twice = await page.evaluate(() => {
    const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
    return ids.filter((id, i) => ids.indexOf(id) !== i);
  });
  assert.deepEqual(twice, []);
}

/** Text stands out from its background: 4.5 to 1, as WCAG AA asks. */
async function readable(page) {
  const faint = await page.evaluate(() => {
    const channels = color => color.match(/[\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b]
      .map(value => value / 255)
      .map(value => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
      .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
      for (let at = element; at; at = at.parentElement) {
        const color = channels(getComputedStyle(at).backgroundColor);
        if ((color[3] ?? 1) > 0.99) return color;
      }
      return [255, 255, 255];
    };
    const ownText = element => [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.textContent.trim() !== '');
    return [...document.querySelectorAll('body *')]
      .filter(element => ownText(element) && element.getClientRects().length > 0 && !element.closest('.visually-hidden, :disabled'))
      .map(element => {
        const [light, dark] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))].sort((a, b) => b - a);
        return [(light + 0.05) / (dark + 0.05), element.outerHTML.slice(0, 80)];
      })
      .filter(([ratio]) => ratio < 4.5);
  });
  assert.deepEqual(faint, []);
}
