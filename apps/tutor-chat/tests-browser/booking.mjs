// The steps of the booking form, as the tests go through them.

import assert from 'node:assert/strict';
import { eventually, sessionId } from './browser.mjs';

/** Each step: the typed or chosen answers, and the booking that the server then has. */
export const STEPS = [
  { fill: { 'Your name': 'Sam Lee', 'Email address': 'sam@example.com' }, has: { studentName: 'Sam Lee', studentEmail: 'sam@example.com', step: 'ccsf-email' } },
  { fill: { 'CCSF email address': 'slee@mail.ccsf.edu' }, has: { ccsfEmail: 'slee@mail.ccsf.edu', step: 'student-id' } },
  { fill: { 'Student ID (optional)': 'w12345678' }, has: { studentId: 'W12345678', step: 'allow-others' } },
  { choose: 'Yes, others may join', has: { allowOtherStudents: true, step: 'classes' } },
  { fill: { 'Classes (optional)': 'CS 110A, MATH 90' }, has: { classes: ['CS 110A', 'MATH 90'], step: 'specific-help' } },
  { fill: { 'What you need help with': 'loops & <b>lists</b>' }, has: { specificHelp: 'loops & <b>lists</b>', step: 'additional-notes' } },
  { fill: { 'Notes (optional)': 'I am new here' }, has: { additionalNotes: 'I am new here', step: 'complete' } },
];

export async function enter(page, { fill = {}, choose }) {
  for (const [label, text] of Object.entries(fill)) await page.getByLabel(label, { exact: true }).fill(text);
  if (choose) await page.getByLabel(choose).check();
}

export async function entered(page, { fill = {}, choose }) {
  for (const [label, text] of Object.entries(fill)) {
    const field = page.getByLabel(label, { exact: true });
    await field.waitFor();
    assert.equal(await field.inputValue(), text);
  }
  if (choose) assert.ok(await page.getByLabel(choose).isChecked());
}

export const next = page => page.locator('#booking button[type="submit"]').click();
export const bookingInfo = async (server, page) => server.request(await sessionId(page), '/booking-info');

export async function reaches(server, page, has) {
  await eventually(async () => {
    const info = await bookingInfo(server, page);
    for (const [field, value] of Object.entries(has)) assert.deepEqual(info[field], value, field);
  });
}

/** Answers every question. */
export async function complete(server, page) {
  for (const step of STEPS) {
    await entered(page, { fill: Object.fromEntries(Object.keys(step.fill ?? {}).map(label => [label, ''])) });
    await enter(page, step);
    await next(page);
    await reaches(server, page, step.has);
  }
}
