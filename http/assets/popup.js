// Lists that pop up below an input: closed, and walked through by the keys that take one of theirs.

/** Closes a list: nothing of it is found, and its input tells so. */
export function close(list) {
  list.popup.hidden = true;
  list.found = [];
  list.input.setAttribute("aria-expanded", "false");
  list.input.removeAttribute("aria-activedescendant");
}

/** What a key does in a list of which one of `found` stands out: Escape, the keys that `takes` names, and up and down. */
export function walk(list, event, takes) {
  const count = list.found.length;
  if (event.key === "Escape") list.close();
  else if (!count) return;
  else if (takes.includes(event.key)) list.take(list.at);
  else if (event.key === "ArrowDown") list.at = (list.at + 1) % count;
  else if (event.key === "ArrowUp") list.at = (list.at + count - 1) % count;
  else return;
  event.preventDefault();
  if (event.key.startsWith("Arrow")) list.list();
}
