// The booking's questions, in order, and the checks of the answers. The server's app asks the same
// questions in chat and accepts the same answers: one file of cases tests both.

export const STEPS = ['name-email', 'ccsf-email', 'student-id', 'allow-others', 'classes', 'specific-help', 'additional-notes', 'complete'];

const LONGEST_NAME = 100;
const LONGEST_EMAIL = 254;
const LONGEST_CLASS = 80;
const LONGEST_TEXT = 2000;
const MOST_CLASSES = 10;

/** An answer that is not accepted; `field` is the one to correct. */
export class Refused extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

const characters = text => [...text].length;

function filled(field, text, longest, why) {
  const trimmed = text.trim();
  if (trimmed === '' || characters(trimmed) > longest) throw new Refused(field, why);
  return trimmed;
}

function isEmail(text) {
  if (new TextEncoder().encode(text).length > LONGEST_EMAIL) return false;
  if (/[\s\u0000-\u001f\u007f-\u009f,;<>]/u.test(text)) return false;
  const parts = text.split('@');
  if (parts.length !== 2 || parts[0] === '') return false;
  const labels = parts[1].split('.');
  return labels.length > 1 && labels.every(label => label !== '');
}

const CHECKS = {
  'name-email'({ studentName, studentEmail }) {
    const name = filled('studentName', studentName, LONGEST_NAME, 'Please give your name, in at most 100 characters.');
    const email = studentEmail.trim();
    if (!isEmail(email)) throw new Refused('studentEmail', 'Please give an email address such as sam@example.com.');
    return { studentName: name, studentEmail: email };
  },
  'ccsf-email'(answer) {
    const email = answer.trim();
    if (!isEmail(email) || !/@(mail\.)?ccsf\.edu$/i.test(email)) {
      throw new Refused('ccsfEmail', 'Please give a CCSF address, one that ends in @mail.ccsf.edu or @ccsf.edu.');
    }
    return { ccsfEmail: email };
  },
  'student-id'(answer) {
    const id = answer.trim().toUpperCase();
    if (id !== '' && !/^[W@]?[0-9]{8}$/.test(id)) {
      throw new Refused('studentId', 'A student ID is a W and eight digits, such as W12345678. You can also leave it empty.');
    }
    return { studentId: id || undefined };
  },
  'allow-others'(answer) {
    if (typeof answer !== 'boolean') throw new Refused('allowOtherStudents', 'Please choose yes or no.');
    return { allowOtherStudents: answer };
  },
  classes(answer) {
    const classes = answer.map(one => one.trim()).filter(one => one !== '');
    if (classes.length > MOST_CLASSES || classes.some(one => characters(one) > LONGEST_CLASS)) {
      throw new Refused('classes', 'Please name at most ten classes, each in at most 80 characters.');
    }
    return { classes };
  },
  'specific-help'(answer) {
    const why = 'Please say what you need help with, in at most 2000 characters.';
    return { specificHelp: filled('specificHelp', answer, LONGEST_TEXT, why) };
  },
  'additional-notes'(answer) {
    if (answer.trim() === '') return { additionalNotes: undefined };
    const why = 'Please keep your notes to at most 2000 characters.';
    return { additionalNotes: filled('additionalNotes', answer, LONGEST_TEXT, why) };
  },
};

/** A booking of this offer with nothing answered yet. It keeps the offer when others follow. */
export const start = offer =>
  ({ studentName: '', studentEmail: '', ccsfEmail: '', step: STEPS[0], ...booked(offer) });

/** The fields of a booking that say when and with whom. */
export const booked = offer => ({ slot: offer.slot, tutorMatch: offer });

export const isOpen = info => Boolean(info) && info.step !== 'complete';

/** The booking with this answer at the next step; throws `Refused`. */
export function answered(info, answer) {
  return { ...info, ...CHECKS[info.step](answer), step: STEPS[STEPS.indexOf(info.step) + 1] };
}

export function back(info) {
  return { ...info, step: STEPS[Math.max(STEPS.indexOf(info.step) - 1, 0)] };
}
