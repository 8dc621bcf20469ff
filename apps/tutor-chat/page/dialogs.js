// Questions before something is removed, and notices of what happened.

const NOTICE_MS = 4_000;
const $ = id => document.getElementById(id);

/** Asks by the dialog with this id. True if the person says yes. */
export function ask(name) {
  const dialog = $(`${name}-dialog`);
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise(resolve => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

let timer;

/** Shows a notice for a while. With `undo`, it has a button for so long. */
export function notice(text, { undo, ms = NOTICE_MS } = {}) {
  clearTimeout(timer);
  $('notice-text').textContent = text;
  $('undo').hidden = !undo;
  $('undo').onclick = () => {
    hide();
    undo?.();
  };
  $('notice').hidden = false;
  timer = setTimeout(hide, ms);
}

export function hide() {
  clearTimeout(timer);
  $('notice').hidden = true;
}
