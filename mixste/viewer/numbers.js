// What page.py packed, and what is known of it. The viewer's axes are X right, Y forward, Z up; lengths are in the
// motion's unit; arrays are flat, frame after frame; what is absent is NaN.

const $ = (id) => document.getElementById(id);
const scene = JSON.parse($("scene").textContent);
const { frames, fps, body } = scene;
const joints = body.joints.length;
const place = { frame: 0, time: 0, playing: false, last: 0 };
let motion, truth, points, confidence;
let errors, means; // of every joint, root-relative, and of every frame: MPJPE
let extent; // { low, high, reach, all }: the box of all joints, the largest distance from the root, half the diagonal

const known = (value) => value === value; // not NaN
const at = (frame, joint) => 3 * (frame * joints + joint);

/** Undo packing.pack. */
async function unpack({ width, step, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(inflated).arrayBuffer());
  const count = planes.length / 4;
  const values = new Float32Array(count);
  for (let row = 0, i = 0; row < width; row++) {
    for (let frame = 0, sum = 0; frame < frames; frame++, i++) {
      const zigzag = planes[i] | (planes[i + count] << 8) | (planes[i + 2 * count] << 16) | (planes[i + 3 * count] << 24);
      sum = (sum + ((zigzag >>> 1) ^ -(zigzag & 1))) | 0;
      values[frame * width + row] = sum === -(2 ** 31) ? NaN : sum * step;
    }
  }
  return values;
}

function distance(a, i, b, j) {
  return Math.hypot(a[i] - b[j], a[i + 1] - b[j + 1], a[i + 2] - b[j + 2]);
}

/** A joint relative to the root. */
function relative(values, frame, joint) {
  const [here, root] = [at(frame, joint), at(frame, body.root)];
  return [0, 1, 2].map((axis) => values[here + axis] - values[root + axis]);
}

function average(values) {
  const own = values.filter(known);
  return own.reduce((sum, value) => sum + value, 0) / own.length;
}

/** Compare with the ground truth. */
function measure() {
  errors = new Float32Array(frames * joints);
  for (let i = 0; i < errors.length; i++) {
    const where = [Math.floor(i / joints), i % joints];
    errors[i] = distance(relative(motion, ...where), 0, relative(truth, ...where), 0);
  }
  means = Float32Array.from({ length: frames }, (_, i) => average(errors.subarray(i * joints, (i + 1) * joints)));
  means.mean = average(means);
  means.high = means.reduce((high, value) => (value > high ? value : high), 1e-6);
  const sorted = errors.filter(known).sort();
  means.top = nice(sorted[Math.floor(0.98 * (sorted.length - 1))] || 1e-3, true); // where the scale of colours ends
}

function survey() {
  const [low, high] = [Array(3).fill(Infinity), Array(3).fill(-Infinity)];
  let reach = 1e-3;
  for (const values of truth ? [motion, truth] : [motion]) {
    for (let i = 0; i < values.length; i += 3) {
      const far = distance(values, i, values, at(Math.floor(i / 3 / joints), body.root));
      if (far > reach) reach = far;
      for (let axis = 0; axis < 3; axis++) {
        const value = values[i + axis];
        if (value < low[axis]) low[axis] = value;
        if (value > high[axis]) high[axis] = value;
      }
    }
  }
  if (low[0] === Infinity) [low, high].forEach((corner) => corner.fill(0));
  extent = { low, high, reach, all: Math.max(distance(low, 0, high, 0) / 2, reach) };
}

/** The next of 1, 2, 5, 10, 20, ... that is not above a length, or not below it. */
function nice(length, above = false) {
  const power = 10 ** Math.floor(Math.log10(length));
  const steps = [1, 2, 5, 10].map((step) => step * power);
  return above ? steps.find((step) => step >= length * 0.999) : steps.findLast((step) => step <= length * 1.001);
}

/** A length as text; errors are told in millimetres. */
function told(value, error = true) {
  if (!known(value)) return "unknown";
  if (scene.unit !== "m") return `${+value.toPrecision(3)} ${scene.unit} units`;
  return error ? `${Math.round(1000 * value)} mm` : `${+value.toPrecision(3)} m`;
}
