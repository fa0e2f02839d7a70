// Keeps the page up to date where there is JavaScript: the server says that something changed, the page is fetched once more,
// and the parts that differ are exchanged. Without it, the page is as it was when it was loaded.
"use strict";
(() => {
  const said = document.getElementById("live");
  let busy = false, again = false, last = 0;
  const part = (page, id) => page.getElementById(id);
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
        const fresh = part(next, old.id);
        if (!fresh || fresh.outerHTML === old.outerHTML) continue;
        for (const open of old.querySelectorAll("details[open][id]")) {
          const same = fresh.querySelector("#" + CSS.escape(open.id));
          if (same) same.open = true;
        }
        old.replaceWith(document.importNode(fresh, true));
      }
      if (focused && document.activeElement.id !== focused) { const one = document.getElementById(focused); if (one) one.focus(); }
      said.textContent = "up to date, " + new Date().toISOString().slice(11, 19) + " UTC";
    } catch {
      said.textContent = "not up to date: the controller does not answer";
    } finally {
      busy = false;
      if (again) { again = false; setTimeout(renew, 5000); }
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
  listen();
})();
