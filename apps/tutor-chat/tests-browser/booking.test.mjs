import assert from 'node:assert/strict';
import { STEPS, bookingInfo, complete, enter, entered, next, reaches } from './booking.mjs';
import { beginBooking, chatTest, connected, eventually, say, sessionId } from './browser.mjs';

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
  const { tutorMatch, ...info } = await bookingInfo(server, page);
  assert.equal(tutorMatch.tutor.name, 'Amara Okafor');
  assert.deepEqual(tutorMatch.slot, info.slot);
  assert.deepEqual(info, {
    studentName: 'Sam Lee', studentEmail: 'sam@example.com', ccsfEmail: 'slee@mail.ccsf.edu', studentId: 'W12345678', allowOtherStudents: true,
    classes: ['CS 110A', 'MATH 90'], specificHelp: 'loops & <b>lists</b>', additionalNotes: 'I am new here',
    slot: { day: 'Monday', time: '10:00', mode: 'online' }, step: 'complete',
  });
  assert.ok(await page.locator('.card').last().getByRole('button', { name: 'Booked ✓' }).isDisabled());
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
  // An event can show the form a moment before the answer to the request gives it the focus.
  const focused = label => page.getByLabel(label, { exact: true }).and(page.locator(':focus')).waitFor();
  await beginBooking(page);
  await focused('Your name');
  await page.keyboard.type('Sam Lee');
  await page.keyboard.press('Tab');
  await page.keyboard.type('sam@example.com');
  await page.keyboard.press('Enter');
  await focused('CCSF email address');
  await page.keyboard.type('slee@ccsf.edu');
  await page.keyboard.press('Enter');
  await focused('Student ID (optional)');
  await page.keyboard.press('Enter');
  await focused('Yes, others may join');
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

chatTest('a finished booking is shown with its own tutor when others are offered later', async ({ server, open }) => {
  const page = await open();
  await beginBooking(page);
  for (const step of STEPS) {
    await enter(page, step);
    await next(page);
    await reaches(server, page, step.has);
  }
  const booked = page.getByRole('heading', { name: 'Booked ✓' });
  await booked.waitFor();
  const state = await server.request(await sessionId(page));
  assert.ok(!JSON.stringify(state.messages).includes('confirmation'), 'nothing sends mail');

  await say(page, 'now calculus');
  await page.locator('.card').nth(1).waitFor();
  const later = await server.request(await sessionId(page), '/pending-match');
  assert.equal(later.tutor.name, 'Dalia Haddad');
  for (let round = 0; round < 2; round += 1) {
    assert.match(await page.locator('.booking-slot').textContent(), /Amara Okafor/);
    // Only the booked tutor's card says so.
    const card = name => page.locator('.card', { hasText: name }).getByRole('button');
    assert.equal(await card('Amara Okafor').textContent(), 'Booked ✓');
    assert.equal(await card('Dalia Haddad').textContent(), 'Book');
    await page.reload();
    await connected(page);
    await booked.waitFor();
  }
});

chatTest('a slot that two tutors have is booked with one of them', async ({ server, open }) => {
  const page = await open();
  const slot = { day: 'Monday', time: '10:00', mode: 'online' };
  const offer = name => ({ tutor: { id: name, name, skills: [], modes: ['online'] }, slot, score: 1, reason: '' });
  const id = await sessionId(page);
  for (const name of ['Ada', 'Cy']) {
    await server.request(id, '/messages', 'POST', { role: 'user', content: name, tutorMatch: offer(name) });
  }
  const book = name => page.locator('.card', { hasText: name }).getByRole('button');
  await book('Ada').click();
  await page.getByLabel('Your name').waitFor();
  assert.equal(await book('Ada').textContent(), 'Booking…');
  assert.equal(await book('Cy').textContent(), 'Book');
  // In the middle of a booking the other can be chosen instead.
  await book('Cy').click();
  await reaches(server, page, { slot, tutorMatch: offer('Cy') });
  await eventually(async () => assert.match(await page.locator('.booking-slot').textContent(), /with Cy/));
  assert.equal(await book('Ada').textContent(), 'Book');

  // A booking from before its tutor was kept is shown without one.
  const { tutorMatch, ...old } = await bookingInfo(server, page);
  await server.request(id, '/booking-info', 'PUT', old);
  await eventually(async () => assert.doesNotMatch(await page.locator('.booking-slot').textContent(), /with/));
  assert.equal(tutorMatch.tutor.name, 'Cy');
});

chatTest('a booking is changed, kept or cancelled by its receipt', async ({ server, open }) => {
  const page = await open();
  await beginBooking(page);
  await complete(server, page);
  const receipt = page.locator('#booking');
  await receipt.getByText('Booked ✓').waitFor();
  for (const text of ['Amara Okafor', 'Sam Lee', 'loops & <b>lists</b>']) await receipt.getByText(text).first().waitFor();

  // The answers are still there, and each can be changed.
  await receipt.getByRole('button', { name: 'Change' }).click();
  await entered(page, STEPS[0]);
  await page.getByLabel('Your name').fill('Robin Lee');
  await next(page);
  await reaches(server, page, { studentName: 'Robin Lee', step: 'ccsf-email' });
  for (const step of STEPS.slice(1)) {
    await entered(page, step.fill?.['Student ID (optional)'] ? { fill: { 'Student ID (optional)': 'W12345678' } } : step);
    await next(page);
    await reaches(server, page, step.has);
  }
  await receipt.getByText('Robin Lee').waitFor();

  await receipt.getByRole('button', { name: 'Cancel booking' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Keep it' }).click();
  await receipt.getByText('Robin Lee').waitFor();
  await receipt.getByRole('button', { name: 'Cancel booking' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel booking' }).click();
  await receipt.waitFor({ state: 'hidden' });
  await eventually(async () => assert.equal(await bookingInfo(server, page), null));
});

chatTest('another offer does not take the place of a booking unasked', async ({ server, open }) => {
  const page = await open();
  await beginBooking(page);
  await complete(server, page);
  await say(page, 'another');
  await eventually(async () => assert.equal(await page.locator('.card').count(), 2));
  const other = page.locator('.card').last().getByRole('button', { name: /^Book / });
  await other.click();
  await page.getByRole('dialog').getByRole('button', { name: 'Keep it' }).click();
  assert.equal((await bookingInfo(server, page)).step, 'complete');
  await other.click();
  await page.getByRole('dialog').getByRole('button', { name: 'Replace it' }).click();
  await reaches(server, page, { step: 'name-email' });
});
