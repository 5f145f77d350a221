// Time, hands, and the page around the canvases.

let queued = false;

function redraw() {
  if (!queued) requestAnimationFrame(tick);
  queued = true;
}

function tick(now) {
  queued = false;
  if (place.playing) {
    const passed = Math.min(Math.max(now - place.last, 0), 250); // a hidden page stands still
    place.time = (place.time + (passed / 1000) * $("speed").value) % (frames / fps);
    place.frame = Math.min(Math.floor(place.time * fps + 1e-6), frames - 1);
    place.last = now;
    redraw();
  }
  drawView();
  if (points) drawInput();
  if (truth) drawCurve();
  say(`frame ${place.frame + 1} of ${frames}, ${(place.frame / fps).toFixed(2)} s`);
}

function say(counter) {
  if ($("counter").textContent === counter) return;
  $("counter").textContent = counter;
  $("seek").value = place.frame;
  $("seek").setAttribute("aria-valuetext", counter);
  if (truth) $("error").textContent = `MPJPE ${told(means[place.frame])}`;
}

function seek(frame) {
  place.frame = Math.min(Math.max(Math.round(frame), 0), frames - 1);
  place.time = place.frame / fps;
  redraw();
}

function play(on) {
  place.playing = on;
  place.last = performance.now();
  place.time = place.frame / fps;
  $("play").textContent = on ? "Pause" : "Play";
  redraw();
}

function turn(yaw, pitch) {
  camera.yaw += yaw;
  camera.pitch = Math.min(Math.max(camera.pitch + pitch, -1.55), 1.55);
  redraw();
}

function zoom(factor) {
  camera.zoom = Math.min(Math.max(camera.zoom * factor, 0.1), 20);
  redraw();
}

function move(x, y) {
  const eye = looking({ width: $("view").clientWidth, height: $("view").clientHeight });
  const unit = eye.away / eye.focal;
  camera.pan = camera.pan.map((value, axis) => value + unit * (y * eye.up[axis] - x * eye.right[axis]));
  redraw();
}

function reset() {
  camera = { ...HOME };
  redraw();
}

const KEYS = {
  " ": () => play(!place.playing),
  ArrowLeft: (far) => seek(place.frame - (far ? 10 : 1)),
  ArrowRight: (far) => seek(place.frame + (far ? 10 : 1)),
  Home: () => seek(0), End: () => seek(frames - 1), r: reset,
  a: () => turn(0.1, 0), d: () => turn(-0.1, 0), w: () => turn(0, 0.1), s: () => turn(0, -0.1),
  "+": () => zoom(1.15), "=": () => zoom(1.15), "-": () => zoom(1 / 1.15),
};

function pressed(event) {
  const key = event.key.length > 1 ? event.key : event.key.toLowerCase();
  const own = event.target.matches("select") || (key === " " && event.target.matches("button, summary, [type=checkbox]"));
  if (!Object.hasOwn(KEYS, key) || own || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  KEYS[key](event.shiftKey);
}

/** One pointer turns or, with shift or another button, moves the view; two move and zoom it. */
function handle(view) {
  const down = new Map();
  const pinch = () => {
    const [a, b] = [...down.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, gap: Math.hypot(a.x - b.x, a.y - b.y) || 1 };
  };
  const drag = (event) => {
    const own = down.get(event.pointerId);
    if (!own) return point(event);
    const [x, y, before] = [event.clientX - own.x, event.clientY - own.y, down.size > 1 && pinch()];
    [own.x, own.y] = [event.clientX, event.clientY];
    if (before) {
      const after = pinch();
      move(after.x - before.x, after.y - before.y);
      zoom(after.gap / before.gap);
    } else if (own.moves) move(x, y);
    else turn(-x / 150, y / 150);
  };
  const start = (event) => {
    down.set(event.pointerId, { x: event.clientX, y: event.clientY, moves: event.shiftKey || event.button > 0 });
    view.setPointerCapture(event.pointerId);
  };
  const wheel = (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 700)); };
  const lift = (event) => down.delete(event.pointerId);
  on(view, { pointerdown: start, pointermove: drag, pointerup: lift, pointercancel: lift, dblclick: reset });
  on(view, { wheel, contextmenu: (event) => event.preventDefault(), pointerleave: () => { pointed = -1; redraw(); } });
}

/** Name the joint that the pointer is at. */
function point(event) {
  const gaps = spots.map((spot) => (spot ? Math.hypot(spot[0] - event.offsetX, spot[1] - event.offsetY) : Infinity));
  const least = Math.min(...gaps);
  pointed = least < 14 ? gaps.indexOf(least) : -1;
  redraw();
}

function on(element, listeners) {
  for (const [name, listener] of Object.entries(listeners)) element.addEventListener(name, listener, { passive: false });
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of INKS) ink[name] = style.getPropertyValue(`--${name}`).trim();
  redraw();
}

function furnish() {
  const axes = scene.frame === "camera" ? "camera axes (X right, Y down, Z forward)" : "world axes (Z up)";
  const root = scene.rooted ? "relative to the root" : "absolute";
  $("about").textContent = `${frames} frames, ${+fps.toFixed(3)} fps, ${body.name}, ${axes}, ${root}`;
  $("view").ariaLabel = `3D skeleton of ${joints} joints${truth ? " with ground truth" : ""}`;
  $("curve").ariaLabel = truth ? `MPJPE of every frame, mean ${told(means.mean)}` : "";
  $("seek").max = frames - 1;
  $("flat").hidden = !points;
  for (const element of document.querySelectorAll(".compared")) element.hidden = !truth;
  $("follow").parentElement.hidden = scene.rooted;
  for (const sentence of scene.report) $("report").append(Object.assign(document.createElement("li"), { textContent: sentence }));
}

function listen() {
  const scrub = (event) => event.buttons && seek(((event.offsetX - 8) / ($("curve").clientWidth - 16)) * (frames - 1));
  on($("play"), { click: () => play(!place.playing) });
  on($("reset"), { click: reset });
  on($("seek"), { input: () => seek(+$("seek").value) });
  on($("curve"), { pointerdown: scrub, pointermove: scrub });
  for (const name of ["overlay", "colours", "follow"]) on($(name), { change: redraw });
  on(document, { keydown: pressed });
  on(matchMedia("(prefers-color-scheme: dark)"), { change: theme });
  new ResizeObserver(redraw).observe(document.querySelector("main"));
  handle($("view"));
}

async function main() {
  motion = await unpack(scene.motion);
  if (scene.truth) truth = await unpack(scene.truth);
  if (scene.input) points = await unpack(scene.input.points);
  if (scene.input?.confidence) confidence = await unpack(scene.input.confidence);
  if (truth) measure();
  survey();
  furnish();
  listen();
  theme();
}

main();
