// The booking's form, one question at a time. Each answer is stored before the next question shows.
// The browser keeps half-typed answers, so that a refresh at any step loses nothing.

import { slotInWords, tutorOf } from './card.js';
import { el } from './dom.js';
import { Refused, STEPS, answered, back, isOpen } from './flow.js';
import { read, remove, write } from './storage.js';

const QUESTIONS = {
  'name-email': {
    title: 'Who is the session for?',
    fields: [
      { name: 'studentName', label: 'Your name', type: 'text', autocomplete: 'name' },
      { name: 'studentEmail', label: 'Email address', type: 'email', autocomplete: 'email' },
    ],
  },
  'ccsf-email': {
    title: 'What is your CCSF email address?',
    fields: [{ name: 'ccsfEmail', label: 'CCSF email address', type: 'email', hint: 'It ends in @mail.ccsf.edu or @ccsf.edu.' }],
  },
  'student-id': {
    title: 'What is your student ID?',
    fields: [{ name: 'studentId', label: 'Student ID (optional)', type: 'text', hint: 'A W and eight digits, such as W12345678.' }],
  },
  'allow-others': {
    title: 'May other students join the session?',
    fields: [{ name: 'allowOtherStudents', label: 'May other students join?', type: 'choice', options: [['yes', 'Yes, others may join'], ['no', 'No, just me']] }],
  },
  classes: {
    title: 'Which classes is this for?',
    fields: [{ name: 'classes', label: 'Classes (optional)', type: 'text', hint: 'Separate several with commas.' }],
  },
  'specific-help': {
    title: 'What do you need help with in particular?',
    fields: [{ name: 'specificHelp', label: 'What you need help with', type: 'long' }],
  },
  'additional-notes': {
    title: 'Is there anything else your tutor should know?',
    fields: [{ name: 'additionalNotes', label: 'Notes (optional)', type: 'long' }],
  },
};

const SUMMARY = [
  ['Name', info => info.studentName],
  ['Email', info => info.studentEmail],
  ['CCSF email', info => info.ccsfEmail],
  ['Student ID', info => info.studentId],
  ['Others may join', info => ({ true: 'Yes', false: 'No' })[info.allowOtherStudents]],
  ['Classes', info => (Array.isArray(info.classes) ? info.classes.join(', ') : undefined)],
  ['Help with', info => info.specificHelp],
  ['Notes', info => info.additionalNotes],
];

/** The first values of the fields, from the stored answers. */
function storedValues(info) {
  const values = Object.fromEntries(QUESTIONS[info.step].fields.map(({ name }) => [name, info[name] ?? '']));
  if (info.step === 'allow-others') values.allowOtherStudents = { true: 'yes', false: 'no' }[info.allowOtherStudents] ?? '';
  if (info.step === 'classes') values.classes = Array.isArray(info.classes) ? info.classes.join(', ') : '';
  return values;
}

/** The answer that `flow.js` takes, from the fields' texts. */
function answerOf(step, values) {
  if (step === 'name-email') return values;
  const [value] = Object.values(values);
  if (step === 'allow-others') return { yes: true, no: false }[value];
  if (step === 'classes') return value.split(/[,;\n]/);
  return value;
}

export class Booking {
  #section = document.getElementById('booking');
  #draftKey;
  #app;
  #info = null;
  #shown = '';

  /** `app`: `save(info)`, `cancel()`, `atEnd()`, `toEnd()`; the two requests reject with an error whose message can be shown. */
  constructor(sessionId, app, signal) {
    this.#draftKey = `chatBookingDraft:${sessionId}`;
    this.#app = app;
    signal.addEventListener('abort', () => {
      this.#section.replaceChildren();
      this.#section.hidden = true;
    });
  }

  get info() {
    return this.#info;
  }

  /** Shows a booking as stored. A form that is being filled in is left alone. */
  show(info, { focus = false } = {}) {
    this.#info = isBooking(info) ? info : null;
    const now = JSON.stringify(this.#info);
    const hadFocus = this.#section.contains(document.activeElement);
    if (now !== this.#shown) {
      const follow = focus || this.#app.atEnd();
      this.#shown = now;
      this.#section.replaceChildren(...this.#view());
      this.#section.hidden = this.#info === null;
      if (follow) this.#app.toEnd();
    } else if (!focus) {
      return;
    }
    if (!focus && !hadFocus) return;
    const target = this.#section.querySelector('input:checked, input, textarea') ?? this.#section.querySelector('h2');
    target?.focus();
  }

  forgetDraft() {
    remove(this.#draftKey);
  }

  #view() {
    if (!this.#info) return [];
    return isOpen(this.#info) ? this.#question() : this.#done();
  }

  #heading() {
    const tutor = tutorOf(this.#info)?.name;
    return el('p.booking-slot', {}, `${slotInWords(this.#info.slot)}${tutor ? ` with ${tutor}` : ''}`);
  }

  /** The receipt. */
  #done() {
    const info = this.#info;
    const facts = SUMMARY.map(([label, get]) => [label, get(info)]).filter(([, value]) => value);
    const error = el('p.error', { role: 'alert' });
    const attempt = (send, button) => this.#attempt(send, { next: button, error });
    const change = el('button.quiet', { type: 'button', onclick: () => attempt(() => this.#app.save({ ...info, step: STEPS[0] }), change) }, 'Change');
    const cancel = el('button.quiet', { type: 'button', onclick: () => attempt(() => this.#app.cancel(), cancel) }, 'Cancel booking');
    return [
      el('h2', { id: 'booking-title', tabindex: '-1' }, 'Booked ✓'),
      this.#heading(),
      el('details', { open: true }, el('summary', {}, 'Details'),
        el('dl.facts', {}, ...facts.flatMap(([label, value]) => [el('dt', {}, label), el('dd', { dir: 'auto' }, String(value))]))),
      error,
      el('div.booking-actions', {}, change, cancel),
    ];
  }

  #question() {
    const info = this.#info;
    const { title, fields } = QUESTIONS[info.step];
    const at = STEPS.indexOf(info.step);
    const draft = read(this.#draftKey);
    const values = { ...storedValues(info), ...(draft?.step === info.step ? draft.values : {}) };
    const error = el('p.error', { id: 'booking-error', role: 'alert' });
    const controls = fields.map(field => control(field, values[field.name]));
    const next = el('button.primary', { type: 'submit' }, at === STEPS.length - 2 ? 'Confirm booking' : 'Next');
    const form = el('form', {
      novalidate: true,
      oninput: () => write(this.#draftKey, { step: info.step, values: current() }),
      onsubmit: event => {
        event.preventDefault();
        this.#submit(info, current(), { form, next, error });
      },
    },
    ...controls.map(one => one.element), error,
    el('div.booking-actions', {},
      next,
      at > 0 ? el('button.quiet', { type: 'button', onclick: () => this.#attempt(() => this.#app.save(back(info)), { next, error }) }, 'Back') : undefined,
      el('button.quiet', { type: 'button', onclick: () => this.#attempt(() => this.#app.cancel(), { next, error }) }, 'Cancel booking')));
    const current = () => Object.fromEntries(controls.map(({ name, value }) => [name, value()]));
    return [
      el('div.booking-head', {},
        el('h2', { id: 'booking-title', tabindex: '-1' }, title),
        el('p.booking-step', {}, `Step ${at + 1} of ${STEPS.length - 1}`)),
      this.#heading(),
      el('progress', { max: STEPS.length - 1, value: at + 1, 'aria-label': 'Booking progress' }),
      form,
    ];
  }

  async #submit(info, values, { form, next, error }) {
    for (const field of form.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
    let changed;
    try {
      changed = answered(info, answerOf(info.step, values));
    } catch (refused) {
      if (!(refused instanceof Refused)) throw refused;
      error.textContent = refused.message;
      const field = form.querySelector(`[name="${refused.field}"]`);
      field?.setAttribute('aria-invalid', 'true');
      field?.focus();
      form.scrollIntoView({ block: 'nearest' });
      return;
    }
    await this.#attempt(() => this.#app.save(changed), { next, error });
  }

  async #attempt(send, { next, error }) {
    error.textContent = '';
    next.disabled = true;
    try {
      await send();
      this.forgetDraft();
      next.disabled = false;
    } catch (failure) {
      error.textContent = `This could not be saved: ${failure.message}. Your answer is kept here, please try again.`;
      next.disabled = false;
    }
  }
}

const isBooking = info => typeof info === 'object' && info !== null && STEPS.includes(info.step);

/** One field with its label and hint: `{element, name, value()}`. */
function control({ name, label, type, hint, autocomplete, options }, value) {
  const hintId = hint && `booking-${name}-hint`;
  const describedby = ['booking-error', hintId].filter(Boolean).join(' ');
  const note = hint && el('p.hint', { id: hintId }, hint);
  if (type === 'choice') {
    const radios = options.map(([option]) =>
      el('input', { type: 'radio', name, id: `booking-${name}-${option}`, value: option, checked: option === value, 'aria-describedby': describedby }));
    const element = el('fieldset', {}, el('legend.visually-hidden', {}, label),
      ...radios.map((radio, i) => el('label.choice', {}, radio, ` ${options[i][1]}`)));
    return { element, name, value: () => radios.find(radio => radio.checked)?.value ?? '' };
  }
  const id = `booking-${name}`;
  const common = { id, name, 'aria-describedby': describedby };
  const input = type === 'long'
    ? el('textarea', { ...common, rows: '3', maxlength: '2000' })
    : el('input', { ...common, type, autocomplete: autocomplete ?? 'off', spellcheck: 'false' });
  input.value = value;
  return { element: el('div.field', {}, el('label', { for: id }, label), input, note), name, value: () => input.value };
}
