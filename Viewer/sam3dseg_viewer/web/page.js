// What the page does without the server: keys, dialogs, dark and light, uploads, and the cursor of the views.
(() => {
  const STEP = 4; // pixels that an arrow key moves the cursor; with Shift ten times as far
  const cursors = {}; // name of a view -> { x, y }, pixels from its upper left corner

  const byId = (id) => document.getElementById(id);
  const trigger = (name, args = []) => window.trame.trigger(name, args);
  const isTyping = (element) =>
    element.matches("input:not([type=range]):not([type=file]), textarea, select, [contenteditable]");

  // Dark and light: as the browser wants it until the user chooses.
  const system = window.matchMedia("(prefers-color-scheme: light)");
  const stored = () => window.localStorage.getItem("sam3dseg-theme");
  const theme = () => stored() || (system.matches ? "light" : "dark");
  function paint() {
    document.documentElement.dataset.theme = theme();
    if (window.trame) trigger("set_theme", [theme()]).catch(() => {});
  }
  system.addEventListener("change", paint);
  document.documentElement.dataset.theme = theme();
  function paintWhenConnected() {
    if (document.querySelector(".page")) paint();
    else window.setTimeout(paintWhenConnected, 50);
  }
  paintWhenConnected();

  // Dialogs
  function open(dialog) {
    say(dialog, "");
    dialog.showModal();
    const field = dialog.querySelector("input:not([type=file])");
    if (field) field.select();
  }
  function say(dialog, text) {
    const place = dialog.querySelector(".dialog-error");
    if (!place) return;
    place.textContent = text;
    place.hidden = !text;
  }
  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-command]");
    if (!form) return;
    event.preventDefault();
    const dialog = form.closest("dialog");
    const value = form.elements[form.dataset.field].value;
    form.toggleAttribute("inert", true);
    const error = await trigger(form.dataset.command, [value]).catch(() => "That failed: the viewer's terminal says why.");
    form.toggleAttribute("inert", false);
    if (error) say(dialog, error);
    else dialog.close();
  });

  // Uploads
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-upload]") || !event.target.files.length) return;
    send(event.target.files[0], event.target);
  });
  function send(file, field) {
    const dialog = field.closest("dialog");
    const bar = byId("upload-progress");
    const request = new XMLHttpRequest();
    const finish = (error) => {
      bar.hidden = true;
      field.value = "";
      if (error) say(dialog, error);
      else dialog.close();
    };
    request.open("POST", `upload?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => (bar.value = event.loaded / event.total);
    request.onload = () => finish(request.status === 200 ? "" : request.responseText || request.statusText);
    request.onerror = () => finish("The server ended the transfer: the file may be too large.");
    bar.hidden = false;
    bar.value = 0;
    say(dialog, "");
    request.send(file);
  }

  // Buttons that need no server
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) open(byId(opener.dataset.dialog));
    const closer = event.target.closest("[data-close]");
    if (closer) closer.closest("dialog").close();
    if (event.target.closest("[data-theme-toggle]")) {
      window.localStorage.setItem("sam3dseg-theme", theme() === "dark" ? "light" : "dark");
      paint();
    }
  });

  // Keys: a button names its own in data-keys.
  function named(event) {
    const key = event.key.toLowerCase();
    const isLetter = key.length === 1 && key !== key.toUpperCase();
    return [
      event.ctrlKey || event.metaKey ? "ctrl+" : "",
      event.shiftKey && (isLetter || key.length > 1) ? "shift+" : "",
      key,
    ].join("");
  }
  document.addEventListener("keydown", (event) => {
    if (event.altKey || document.querySelector("dialog[open]")) return;
    const area = event.target.closest(".area");
    if (area && moveCursor(area, event)) return;
    const name = named(event);
    if (isTyping(event.target) && !name.startsWith("ctrl+s") && name !== "escape") return;
    const button = document.querySelector(`[data-keys~="${CSS.escape(name)}"]`);
    if (!button) return;
    event.preventDefault();
    event.stopPropagation();
    if (!button.disabled && button.offsetParent !== null) button.click();
  }, true); // before the views, which pass all other keys on to Slicer

  // A view is one stop of the Tab key: its picture is none.
  new MutationObserver((records) => {
    for (const { target } of records) {
      if (target.tabIndex === 0 && target.parentElement && target.parentElement.closest(".area")) target.tabIndex = -1;
    }
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["tabindex"], subtree: true });

  // A cursor in the views, for those who do not use a mouse
  function moveCursor(area, event) {
    const name = area.dataset.viewName;
    const box = area.getBoundingClientRect();
    const cursor = cursors[name] || { x: box.width / 2, y: box.height / 2 };
    const far = event.shiftKey ? 10 * STEP : STEP;
    const moves = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      cursors[name] = {
        x: Math.min(box.width - 1, Math.max(0, cursor.x + dx)),
        y: Math.min(box.height - 1, Math.max(0, cursor.y + dy)),
      };
      draw(area, cursors[name]);
    } else if (event.key === "Enter") {
      draw(area, (cursors[name] = cursor));
      trigger("click_at", [name, cursor.x / box.width, 1 - cursor.y / box.height, event.shiftKey]);
    } else if (event.key === "PageUp" || event.key === "PageDown") {
      trigger("step_slice", [name, event.key === "PageUp" ? 1 : -1]);
    } else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }
  function draw(area, { x, y }) {
    let mark = area.querySelector(".cursor");
    if (!mark) {
      mark = document.createElement("span");
      mark.className = "cursor";
      area.append(mark);
    }
    mark.style.transform = `translate(${x}px, ${y}px)`;
  }
})();
