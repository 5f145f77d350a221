// The camera, and what is on each of the three canvases.

const HALF = Math.tan((17.5 * Math.PI) / 180); // of the angle of view
const NEAR = 0.05;
const HOME = { yaw: (-40 * Math.PI) / 180, pitch: (12 * Math.PI) / 180, zoom: 1, pan: [0, 0, 0] };
const SCALE = ["#3b6fd4", "#27a3c4", "#8fc95c", "#f3c23a", "#ee7c2b", "#cf1f2e"]; // of errors: none to many
let camera = { ...HOME };
let spots = []; // where each joint is on the 3D canvas: [x, y, depth], or null
let pointed = -1; // the joint under the pointer
const INKS = ["left", "right", "middle", "truth", "grid", "soft", "ink", "panel", "accent"];
const ink = {}; // the theme's colours, as viewer.css names them

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const near = () => scene.rooted || $("follow").checked; // the camera stays with the person

/** The camera's axes, what it looks at from how far, and the pixels of a unit at distance 1. */
function looking({ width, height }) {
  const [sy, cy, sp, cp] = [Math.sin(camera.yaw), Math.cos(camera.yaw), Math.sin(camera.pitch), Math.cos(camera.pitch)];
  const centre = extent.low.map((value, axis) => (value + extent.high[axis]) / 2);
  const root = at(place.frame, body.root);
  if (near() && known(motion[root])) [centre[0], centre[1]] = [motion[root], motion[root + 1]];
  const radius = near() ? Math.max((extent.high[2] - extent.low[2]) / 2, extent.reach * 0.8) : extent.all;
  const away = (1.2 * radius) / (HALF * Math.min(1, (1.3 * width) / height)) / camera.zoom;
  const target = centre.map((value, axis) => value + camera.pan[axis]);
  const axes = { right: [cy, sy, 0], ahead: [-sy * cp, cy * cp, -sp], up: [-sy * sp, cy * sp, cp] };
  return { ...axes, centre, target, away, width, height, focal: height / 2 / HALF };
}

/** A point to the camera's right, up and depth. */
function seen(eye, point) {
  const from = point.map((value, axis) => value - eye.target[axis]);
  return [dot(from, eye.right), dot(from, eye.up), dot(from, eye.ahead) + eye.away];
}

/** Right, up, depth to pixels. */
const shown = (eye, [x, y, z]) => [eye.width / 2 + (eye.focal * x) / z, eye.height / 2 - (eye.focal * y) / z];

/** Fit a canvas to its place on the page and clear it. */
function sheet(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const size = [width, height].map((side) => Math.round(side * ratio));
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.lineCap = pen.lineJoin = "round";
  pen.font = "12px system-ui, sans-serif";
  return { pen, width, height };
}

function line(pen, colour, width, ...corners) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  corners.forEach(([x, y]) => pen.lineTo(x, y));
  pen.stroke();
}

function disc(pen, colour, [x, y], radius) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fill();
}

function text(pen, words, x, y, align = "start", colour = ink.soft) {
  pen.textAlign = align;
  pen.strokeStyle = ink.panel;
  pen.lineWidth = 4;
  pen.strokeText(words, x, y);
  pen.fillStyle = colour;
  pen.fillText(words, x, y);
}

/** The colour of a share of the scale of errors. */
function shade(share) {
  const step = Math.min(Math.max(share || 0, 0), 1) * (SCALE.length - 1);
  const low = Math.min(Math.floor(step), SCALE.length - 2);
  const part = (colour, i) => parseInt(SCALE[colour].slice(i, i + 2), 16);
  return `rgb(${[1, 3, 5].map((i) => Math.round(part(low, i) + (part(low + 1, i) - part(low, i)) * (step - low)))})`;
}

/** A line in space as a path's next part, cut where it comes too close. */
function edge(path, eye, from, to) {
  let [a, b] = [seen(eye, from), seen(eye, to)].sort((one, other) => other[2] - one[2]);
  if (a[2] < NEAR) return;
  if (b[2] < NEAR) b = b.map((value, axis) => a[axis] + ((a[2] - NEAR) / (a[2] - b[2])) * (value - a[axis]));
  path.moveTo(...shown(eye, a));
  path.lineTo(...shown(eye, b));
}

/** The grid at the lowest joint. */
function ground(pen, eye) {
  const cell = nice((extent.high[2] - extent.low[2] || extent.reach) / 3);
  const [x, y] = [0, 1].map((axis) => Math.round(eye.centre[axis] / cell) * cell);
  const cells = Math.min(Math.ceil((near() ? 1.4 * extent.reach : extent.all) / cell), 60);
  const [half, z, path] = [cells * cell, extent.low[2], new Path2D()];
  for (let i = -half; i <= half + cell / 2; i += cell) {
    edge(path, eye, [x + i, y - half, z], [x + i, y + half, z]);
    edge(path, eye, [x - half, y + i, z], [x + half, y + i, z]);
  }
  [pen.strokeStyle, pen.lineWidth] = [ink.grid, 1];
  pen.stroke(path);
}

/** Where the joints are on the canvas. */
function projected(eye, values) {
  return body.joints.map((_, joint) => {
    const point = seen(eye, [...values.subarray(at(place.frame, joint), at(place.frame, joint) + 3)]);
    return point[2] > NEAR ? [...shown(eye, point), point[2]] : null; // nor is NaN
  });
}

const wrong = (joint) => errors[place.frame * joints + joint];

/** A bone's colour: its side's, or that of its ends' errors. */
function boneColour(pen, bone, byError) {
  if (!byError) return ink[body.sides[bone[1]]];
  const [a, b] = bone.map((joint) => spots[joint]);
  const fade = pen.createLinearGradient(a[0], a[1], b[0], b[1]);
  bone.forEach((joint, end) => fade.addColorStop(end, shade(wrong(joint) / means.top)));
  return fade;
}

/** Draw the motion far to near, so that what is behind is hidden. */
function person(pen, eye, byError) {
  const size = (1.3 * extent.reach * eye.focal) / 60;
  const depth = ([a, b]) => spots[a][2] + spots[b][2];
  const bones = body.bones.filter((bone) => bone.every((joint) => spots[joint]));
  for (const bone of bones.sort((one, other) => depth(other) - depth(one))) {
    const [ends, width] = [bone.map((joint) => spots[joint]), Math.max(2, (2 * size) / depth(bone))];
    line(pen, ink.panel, width + 2.5, ...ends);
    line(pen, boneColour(pen, bone, byError), width, ...ends);
  }
  spots.forEach((spot, joint) => {
    if (!spot) return;
    const share = byError ? Math.min(wrong(joint) / means.top || 0, 1) : 0.2;
    disc(pen, byError ? shade(share) : ink[body.sides[joint]], spot, Math.max(2, (size * (0.6 + 0.8 * share)) / spot[2]));
  });
}

/** Draw the ground truth thinly over it, with lines from where joints are to where they should be. */
function overlay(pen, eye, byError) {
  const target = projected(eye, truth);
  for (const [a, b] of body.bones) if (target[a] && target[b]) line(pen, ink.truth, 2, target[a], target[b]);
  if (!byError) return;
  spots.forEach((spot, i) => spot && target[i] && line(pen, shade(wrong(i) / means.top), 1.2, spot, target[i]));
}

/** A bar as long as it says, at the distance of the middle of the view; the motion's own axes; the scale of errors. */
function marks(pen, eye, byError) {
  const pixels = eye.focal / eye.away;
  const [bar, low] = [nice(120 / pixels), eye.height - 14];
  const end = 14 + bar * pixels;
  line(pen, ink.soft, 2, [14, low - 4], [14, low], [end, low], [end, low - 4]);
  text(pen, told(bar, false), 16, low - 8);
  const [x, y] = [eye.width - 44, eye.height - 42];
  scene.axes.forEach((axis, i) => {
    const tip = [dot(axis, eye.right), -dot(axis, eye.up)];
    line(pen, ink.soft, 1.5, [x, y], [x + 24 * tip[0], y + 24 * tip[1]]);
    text(pen, "XYZ"[i], x + 33 * tip[0], y + 33 * tip[1] + 4, "center");
  });
  if (!byError) return;
  const wide = Math.min(160, eye.width / 3);
  const left = eye.width - 14 - wide;
  const scale = pen.createLinearGradient(left, 0, left + wide, 0);
  SCALE.forEach((colour, i) => scale.addColorStop(i / (SCALE.length - 1), colour));
  line(pen, scale, 8, [left + 4, 16], [left + wide - 4, 16]);
  text(pen, "0", left, 36);
  text(pen, `${told(means.top)} or more`, eye.width - 14, 36, "end");
}

function drawView() {
  const { pen, ...size } = sheet($("view"));
  const eye = looking(size);
  const byError = truth && $("colours").checked;
  ground(pen, eye);
  spots = projected(eye, motion);
  person(pen, eye, byError);
  if (truth && $("overlay").checked) overlay(pen, eye, byError);
  marks(pen, eye, byError);
  if (!spots[pointed]) return;
  const words = body.joints[pointed] + (truth ? `, ${told(wrong(pointed))} off` : "");
  const right = spots[pointed][0] > size.width / 2;
  text(pen, words, spots[pointed][0] + (right ? -12 : 12), spots[pointed][1] - 8, right ? "end" : "start", ink.ink);
}

function drawInput() {
  const layout = scene.input;
  const { pen, width, height } = sheet($("input"));
  const scale = 0.86 * Math.min(width / layout.size[0], height / layout.size[1]);
  const corner = [width, height].map((side, axis) => (side - scale * layout.size[axis]) / 2);
  const first = place.frame * layout.joints.length;
  const found = layout.joints.map((_, joint) => {
    const spot = corner.map((edge, axis) => edge + scale * points[2 * (first + joint) + axis]);
    return spot.every(known) ? spot : null;
  });
  const thick = Math.max(2, Math.min(width, height) / 130);
  const sure = (joint) => (pen.globalAlpha = confidence ? 0.25 + 0.75 * confidence[first + joint] : 1);
  for (const [a, b] of layout.bones.filter((bone) => bone.every((joint) => found[joint]))) {
    sure(b);
    line(pen, ink[layout.sides[b]], thick, found[a], found[b]);
  }
  found.forEach((spot, joint) => spot && sure(joint) && disc(pen, ink[layout.sides[joint]], spot, 1.3 * thick));
  pen.globalAlpha = 1;
  if (!found.some(Boolean)) text(pen, "nothing detected in this frame", width / 2, height / 2, "center");
}

/** The error of every frame as a curve; of many frames in a pixel, the least and the greatest. */
function curve(width, height) {
  const [path, bins] = [new Path2D(), Math.min(frames, Math.ceil(width))];
  for (let bin = 0; bin < bins; bin++) {
    const ends = [bin, bin + 1].map((end) => Math.floor((end * frames) / bins));
    const own = means.subarray(...ends).filter(known);
    const x = along((ends[0] + ends[1] - 1) / 2, width);
    const y = (value) => height - 3 - (value / means.high) * (height - 20);
    if (own.length) [Math.min(...own), Math.max(...own)].forEach((value) => path.lineTo(x, y(value)));
  }
  return path;
}

const along = (frame, width) => 8 + ((width - 16) * frame) / Math.max(frames - 1, 1);

function drawCurve() {
  const { pen, width, height } = sheet($("curve"));
  if (drawCurve.size !== `${width} ${height}`) {
    [drawCurve.size, drawCurve.path] = [`${width} ${height}`, curve(width, height)];
  }
  [pen.strokeStyle, pen.lineWidth] = [ink.accent, 1.3];
  pen.stroke(drawCurve.path);
  text(pen, `MPJPE, mean ${told(means.mean)}, at most ${told(means.high)}`, 8, 11);
  line(pen, ink.ink, 1.3, [along(place.frame, width), 14], [along(place.frame, width), height]);
}
