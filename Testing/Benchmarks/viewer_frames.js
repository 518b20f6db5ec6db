// When a press was made, and how much every picture that a view showed afterwards differs from the one at the press.
(() => {
  const DIFFERS = 30; // of 255, in any channel
  const state = { press: 0, views: {} };
  window.sam3dsegFrames = state;

  const pixels = (img) => {
    const canvas = new OffscreenCanvas(img.naturalWidth, img.naturalHeight);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(img, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  };

  // Pixels of the picture that differ, without those about the press, where the point itself is drawn.
  const differing = (before, now, point, radius) => {
    if (before.width !== now.width || before.height !== now.height) return 0;
    let count = 0;
    for (let i = 0, n = 0; i < now.data.length; i += 4, n++) {
      if (Math.max(Math.abs(now.data[i] - before.data[i]), Math.abs(now.data[i + 1] - before.data[i + 1]),
                   Math.abs(now.data[i + 2] - before.data[i + 2])) <= DIFFERS) continue;
      const x = n % now.width, y = Math.floor(n / now.width);
      if (!point || Math.hypot(x - point.x, y - point.y) > radius) count++;
    }
    return count;
  };

  state.watch = (names, pressed, radius) => {
    state.press = 0;
    for (const name of names) {
      const area = document.querySelector(`[data-testid="${name}"]`);
      const img = area.querySelector("img");
      state.views[name] = { area, img, src: img.src, before: pixels(img), point: null, frames: [], radius };
    }
    addEventListener("pointerdown", (event) => {
      state.press = performance.now();
      const view = state.views[pressed], box = view.img.getBoundingClientRect();
      const scale = view.img.naturalWidth / box.width;
      view.point = { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
      requestAnimationFrame(look);
    }, { capture: true, once: true });
  };

  const look = () => {
    for (const view of Object.values(state.views)) {
      const img = view.area.querySelector("img");
      if (!img || img.src === view.src || !img.complete || !img.naturalWidth) continue;
      view.src = img.src;
      const at = performance.now() - state.press; // drawn by now; comparing it is not part of the time
      view.frames.push({ at, differs: differing(view.before, pixels(img), view.point, view.radius),
                         all: differing(view.before, pixels(img), null, 0) });
    }
    if (state.press) requestAnimationFrame(look);
  };

  state.taken = () => {
    state.press = 0;
    return Object.fromEntries(Object.entries(state.views).map(([name, view]) => [name, view.frames]));
  };
})();
