// Keeps the page up to date where there is JavaScript: the server says that something changed, the page is fetched once more,
// and the parts that differ are exchanged. Without it, the page is as it was when it was loaded.
"use strict";
(() => {
  const said = document.getElementById("live");
  let busy = false, again = false, last = 0;
  const part = (page, id) => page.getElementById(id);
  // What a part says, as the server sent it: without the lengths of time, which alone are no news.
  function essence(element) {
    const copy = element.cloneNode(true);
    for (const time of copy.querySelectorAll("time.apart")) time.textContent = "";
    return copy.outerHTML;
  }
  const shown = new Map([...document.querySelectorAll("[data-live]")].map((old) => [old.id, essence(old)]));
  async function renew() {
    // Not more often than every five seconds, each page at its own moment: the controller has other work.
    const rest = last + 5000 + Math.random() * 1000 - Date.now();
    if (busy || rest > 0) { if (!again) { again = true; if (!busy) setTimeout(() => { again = false; renew(); }, rest); } return; }
    busy = true; last = Date.now();
    try {
      const answer = await fetch(location.href, { cache: "no-store", credentials: "same-origin" });
      if (answer.status === 401) { said.textContent = "not up to date: log in again"; return; }
      if (!answer.ok) { said.textContent = "not up to date: the controller answered " + answer.status; return; }
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const focused = document.activeElement && document.activeElement.id;
      for (const old of document.querySelectorAll("[data-live]")) {
        const fresh = part(next, old.id), said = fresh && essence(fresh);
        if (!fresh || said === shown.get(old.id)) continue;
        shown.set(old.id, said);
        for (const open of old.querySelectorAll("details[open][id]")) {
          const same = fresh.querySelector("#" + CSS.escape(open.id));
          if (same) same.open = true;
        }
        old.replaceWith(document.importNode(fresh, true));
      }
      age(); buttons();
      if (focused && document.activeElement.id !== focused) { const one = document.getElementById(focused); if (one) one.focus(); }
      said.textContent = "up to date, " + new Date().toISOString().slice(11, 19) + " UTC";
    } catch {
      said.textContent = "not up to date: the controller does not answer";
    } finally {
      busy = false;
      if (again) { again = false; setTimeout(renew, 5000); }
    }
  }
  // A length of time as the server writes it (model/duration.py, elapsed).
  function elapsed(seconds) {
    const s = Math.max(0, Math.floor(seconds)), m = Math.floor(s / 60), h = Math.floor(m / 60);
    if (m < 2) return s + "s";
    if (h < 2) return m + "m";
    if (h < 10 && m % 60) return h + "h" + (m % 60) + "m";
    return h < 48 ? h + "h" : Math.floor(h / 24) + "d";
  }
  function age() {
    for (const time of document.querySelectorAll("time.apart")) {
      const apart = (Date.now() - Date.parse(time.dateTime)) / 1000;
      time.textContent = apart < 0 ? "in " + elapsed(-apart) : elapsed(apart) + " ago";
    }
  }
  // Each command gets a button that copies it; where the browser lets no page write to the clipboard, it is selected.
  function buttons() {
    for (const command of document.querySelectorAll("pre.command")) {
      if (command.querySelector("button")) continue;
      const words = command.textContent, button = document.createElement("button");
      button.type = "button"; button.textContent = "Copy"; button.setAttribute("aria-label", "Copy: " + words);
      button.addEventListener("click", async () => {
        try { await navigator.clipboard.writeText(words); button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 2000); }
        catch { getSelection().selectAllChildren(command); getSelection().setBaseAndExtent(command.firstChild, 0, command.firstChild, words.length); }
      });
      command.append(button);
    }
  }
  function listen() {
    const events = new EventSource(document.body.dataset.events);
    events.addEventListener("changed", renew);
    events.onopen = renew;
    events.onerror = () => {
      said.textContent = "not up to date: connecting again";
      // After an answer that is no stream (a restart, a proxy's 503) a browser gives up; we do not.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 4000 + Math.random() * 2000);
    };
  }
  age(); buttons(); setInterval(age, 15000);
  listen();
})();
