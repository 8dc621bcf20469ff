import assert from 'node:assert/strict';
import { beginBooking, chatTest, connected, eventually, offline, say, sessionId } from './browser.mjs';

/** Each step: what is typed or chosen, and what the server then has. */
const STEPS = [
  { fill: { 'Your name': 'Sam Lee', 'Email address': 'sam@example.com' }, has: { studentName: 'Sam Lee', studentEmail: 'sam@example.com', step: 'ccsf-email' } },
  { fill: { 'CCSF email address': 'slee@mail.ccsf.edu' }, has: { ccsfEmail: 'slee@mail.ccsf.edu', step: 'student-id' } },
  { fill: { 'Student ID (optional)': 'w12345678' }, has: { studentId: 'W12345678', step: 'allow-others' } },
  { choose: 'Yes, others may join', has: { allowOtherStudents: true, step: 'classes' } },
  { fill: { 'Classes (optional)': 'CS 110A, MATH 90' }, has: { classes: ['CS 110A', 'MATH 90'], step: 'specific-help' } },
  { fill: { 'What you need help with': 'loops & <b>lists</b>' }, has: { specificHelp: 'loops & <b>lists</b>', step: 'additional-notes' } },
  { fill: { 'Notes (optional)': 'I am new here' }, has: { additionalNotes: 'I am new here', step: 'complete' } },
];

async function enter(page, { fill = {}, choose }) {
  for (const [label, text] of Object.entries(fill)) await page.getByLabel(label, { exact: true }).fill(text);
  if (choose) await page.getByLabel(choose).check();
}

async function entered(page, { fill = {}, choose }) {
  for (const [label, text] of Object.entries(fill)) {
    const field = page.getByLabel(label, { exact: true });
    await field.waitFor();
    assert.equal(await field.inputValue(), text);
  }
  if (choose) assert.ok(await page.getByLabel(choose).isChecked());
}

const next = page => page.locator('#booking button[type="submit"]').click();
const bookingInfo = async (server, page) => server.request(await sessionId(page), '/booking-info');

async function reaches(server, page, has) {
  await eventually(async () => {
    const info = await bookingInfo(server, page);
    for (const [field, value] of Object.entries(has)) assert.deepEqual(info[field], value, field);
  });
}

chatTest('a booking survives a refresh at each step, also half-way through one', async ({ server, open }) => {
  const page = await open();
  await beginBooking(page);
  for (const [i, step] of STEPS.entries()) {
    await page.getByText(`Step ${i + 1} of 7`).waitFor();
    await enter(page, step);
    await page.reload();
    await connected(page);
    await page.getByText(`Step ${i + 1} of 7`).waitFor();
    await entered(page, step);
    await next(page);
    await reaches(server, page, step.has);
    await page.reload();
    await connected(page);
  }
  await page.getByRole('heading', { name: 'Booked ✓' }).waitFor();
  const facts = await page.locator('#booking').innerText();
  for (const fact of ['Monday at 10:00, online', 'Amara Okafor', 'Sam Lee', 'W12345678', 'CS 110A, MATH 90', 'loops & <b>lists</b>']) {
    assert.ok(facts.includes(fact), fact);
  }
  assert.deepEqual(await bookingInfo(server, page), {
    studentName: 'Sam Lee', studentEmail: 'sam@example.com', ccsfEmail: 'slee@mail.ccsf.edu', studentId: 'W12345678', allowOtherStudents: true,
    classes: ['CS 110A', 'MATH 90'], specificHelp: 'loops & <b>lists</b>', additionalNotes: 'I am new here',
    slot: { day: 'Monday', time: '10:00', mode: 'online' }, step: 'complete',
  });
  assert.ok(await page.locator('.card').last().getByRole('button', { name: 'Booked ✓' }).isDisabled());
});

chatTest('a booking survives kill -9, and an answer given meanwhile can be saved again', async ({ server, open }) => {
  const page = await open();
  await beginBooking(page);
  await enter(page, STEPS[0]);
  await next(page);
  await reaches(server, page, STEPS[0].has);
  await server.kill();
  await offline(page);
  await enter(page, STEPS[1]);
  await next(page);
  await page.getByText('Your answer is kept here').waitFor();
  await server.start();
  await connected(page);
  await entered(page, STEPS[1]);
  await next(page);
  await reaches(server, page, { ...STEPS[0].has, ...STEPS[1].has });
  await page.getByText('Step 3 of 7').waitFor();
});

chatTest('an answer that does not fit says why, and the field has the focus', async ({ server, open }) => {
  const page = await open();
  await beginBooking(page);
  await page.getByLabel('Your name').fill('Sam');
  await page.getByLabel('Email address', { exact: true }).fill('not an address');
  await next(page);
  assert.match(await page.getByRole('alert').textContent(), /email address/);
  const field = page.getByLabel('Email address', { exact: true });
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  assert.ok(await field.evaluate(element => element === document.activeElement));
  assert.equal((await bookingInfo(server, page)).step, 'name-email');
});

chatTest('a booking goes back, keeps its answers, and can be cancelled', async ({ server, open }) => {
  const page = await open();
  await beginBooking(page);
  await enter(page, STEPS[0]);
  await next(page);
  await page.getByLabel('CCSF email address', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Back' }).click();
  await entered(page, STEPS[0]);
  await page.getByRole('button', { name: 'Cancel booking' }).click();
  await page.locator('#booking').waitFor({ state: 'hidden' });
  assert.equal(await bookingInfo(server, page), null);
});

chatTest('a booking can be filled in by keyboard alone', async ({ server, open }) => {
  const page = await open();
  await beginBooking(page);
  await page.keyboard.type('Sam Lee');
  await page.keyboard.press('Tab');
  await page.keyboard.type('sam@example.com');
  await page.keyboard.press('Enter');
  await page.getByLabel('CCSF email address', { exact: true }).waitFor();
  await page.keyboard.type('slee@ccsf.edu');
  await page.keyboard.press('Enter');
  await page.getByLabel('Student ID (optional)').waitFor();
  await page.keyboard.press('Enter');
  await page.getByLabel('Yes, others may join').waitFor();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await reaches(server, page, { allowOtherStudents: false, step: 'classes' });
});

chatTest('the booking goes on in chat as well as in the form', async ({ server, open }) => {
  const page = await open();
  await beginBooking(page);
  await say(page, 'Sam Lee, sam@example.com');
  await page.getByLabel('CCSF email address', { exact: true }).waitFor();
  await reaches(server, page, STEPS[0].has);
});
