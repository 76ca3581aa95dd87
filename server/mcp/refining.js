// --- Refining: every mark is one step of refine_mask. Steps are taken one after the other, in the order of the marks, and
// each answer takes the place of the mask that is shown. A row of the list is what is drawn on: scan.masks holds it while
// it has voxels, and `refining` is where its log stands.
const FAR = 4;             // pixels of the screen from which on a press is a drag
const MOST_MASKS = 20;     // that viewer_slices takes
let target = null, dragKind = "box", belongs = true, drag = null, taking = Promise.resolve(), untaken = 0;

const newRow = () => ({ mask_id: null, name: "a new structure", marks: [] });
const isNew = (row) => !row.mask_id && !row.refining;

function aimAt(row = newRow()) {
  row.marks ??= [];
  target = row; chosen = row.mask_id; drag = null;
  listMasks(); listTargets(); showStep(); refuse("");
  if (panels.size && mode === "refine") drawAll();
}
function listTargets() {
  const rows = scan.masks.includes(target) ? scan.masks : [...scan.masks, target];
  const options = rows.map((row, number) => new Option(row.name, number, false, row === target));
  if (!isNew(target)) options.push(new Option("a new structure", "new"));
  byId("target").replaceChildren(...options);
  byId("naming").hidden = !isNew(target);
}
function showStep() {
  const now = target.refining, parts = [];
  if (now) {
    const size = now.volume_ml === null ? `${now.voxels} voxels` : `${now.volume_ml} ml`;
    const change = now.volume_ml === null && now.added_ml === null ? `${now.changed_voxels} voxels changed` : `+${now.added_ml} −${now.removed_ml} ml`;
    parts.push(`Step ${now.step}:`, now.mask_id ? size : "nothing is left", now.undone ? "(one taken back)" : `(${change})`);
  }
  if (untaken) parts.push(untaken > 1 ? `Drawing, ${untaken - 1} waiting.` : "Drawing.");
  byId("step").textContent = parts.join(" ");
  byId("step").dataset.untaken = String(untaken);
  byId("undo").disabled = !untaken && !(now && now.steps);
  byId("notes").replaceChildren(...(now ? now.notes : []).map((note) => {
    const row = document.createElement("li");
    row.textContent = note;
    return row;
  }));
}
const refuse = (error) => { byId("refused").textContent = String(error.message || error); };

// One after the other; what fails is said, and those after it are taken all the same.
function inTurn(work) {
  const mine = scan;
  untaken += 1; showStep();
  taking = taking.then(() => scan === mine && work(mine)).catch(refuse).finally(() => { untaken -= 1; showStep(); });
}
async function finished(name, args) {
  const first = (await callTool(name, args)).result;
  let { state, result = first } = { state: first.state };
  while (state === "queued" || state === "running") {
    const job = (await callTool("get_job", { job_id: first.job_id, wait_s: 20 })).result;
    ({ state, result } = job);
    if (!["queued", "running", "done"].includes(state)) throw new Error(job.error || `The step was ${state}. Mark it again.`);
  }
  return result;
}

function mark(kind, at, positive) {
  const row = target, one = { kind, at, positive, waits: true }, structure = byId("structure").value.trim();
  row.marks.push(one);
  drawAll();
  inTurn(async (mine) => {
    refuse("");
    try {
      const args = { handle: row.refining ? row.refining.refinement_id : row.mask_id || mine.image_id, prompts: [{ kind, at, positive }], frame: "ras_index" };
      if (isNew(row) && structure) args.structure = structure;
      const result = await finished("refine_mask", args);
      one.waits = false;
      await showMask(mine, row, result);
    } catch (error) {
      if (one.waits) row.marks.splice(row.marks.indexOf(one), 1);
      drawAll();
      throw error;
    }
  });
}
function undo() {
  const row = target;
  inTurn(async (mine) => {
    refuse("");
    if (!row.refining || !row.refining.steps) throw new Error("There is no step to take back.");
    const { refinement_id, step } = row.refining;
    const { result } = await callTool("viewer_undo", { refinement_id, after_step: step });
    const last = row.marks.findLastIndex((one) => !one.waits);
    if (last >= 0) row.marks.splice(last, 1);
    await showMask(mine, row, { ...result, undone: true });
  });
}

async function showMask(mine, row, result) {
  if (scan !== mine) return;
  const before = row.mask_id, now = result.mask_id;
  row.begun ??= { mask_id: before, verdict: row.verdict };
  row.refining = result; row.mask_id = now;
  row.verdict = now === row.begun.mask_id ? row.begun.verdict : result.verdict;
  row.volume_ml = result.volume_ml === null ? null : round(result.volume_ml, 2);
  if (now && !before) {
    mine.masks = [...mine.masks.slice(-(MOST_MASKS - 1)), row];
    row.name = result.structure || now;
    row.colour ??= mine.colours.find((one) => !mine.masks.some((other) => other.colour === one)) || mine.colours[0];
  }
  if (!now) mine.masks = mine.masks.filter((one) => one !== row);
  hidden.delete(before);
  if (target === row) chosen = now;
  generation += 1; cache.clear(); coming.clear();
  listMasks(); listTargets(); showStep();
  await Promise.all([...panels.values()].map((panel) => draw(panel, 1)));
  if (solid && before !== now) await showSurface(before, row);
  const told = `The user drew in the viewer: ${result.structure || "the structure"} is now ${now || "empty"}, step ${result.step} of ${result.refinement_id}.`;
  await tellModel(told, { image_id: mine.image_id, refinement_id: result.refinement_id, step: result.step, mask_id: now });
}
async function showSurface(before, { mask_id, colour }) {
  const view = solid.view, block = mask_id && await readJson(`ostensor://mask/${mask_id}/solid`);
  if (!solid || solid.view !== view) return;
  view.remove(before);
  if (block) await view.add({ ...block, mask_id, colour });
  view.hide(hidden);
}

// Marks by hand, pen or finger. A pixel of a coarser picture stands for `step` voxels, all of which a box takes.
function takeMarks(plane, canvas) {
  canvas.addEventListener("contextmenu", (event) => mode === "refine" && event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    const point = mode === "refine" && !drag && event.isPrimary && event.button !== 1 && pointOf(plane, canvas, event);
    if (!point) return;
    canvas.setPointerCapture(event.pointerId);
    const opposite = event.button === 2 || event.altKey || event.shiftKey || event.ctrlKey;
    drag = { plane, path: [point], from: [event.clientX, event.clientY], positive: belongs && !opposite, kind: "point" };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag || drag.plane !== plane) return;
    const far = Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) > FAR;
    if (far) drag.kind = dragKind;
    const point = pointOf(plane, canvas, event, true);
    if (drag.kind === "point" || String(point) === String(drag.path.at(-1))) return;
    drag.path.push(point);
    draw(panels.get(plane.view)).catch(complain);
  });
  const released = (event) => {
    if (!drag || drag.plane !== plane) return;
    const { path, kind, positive } = drag;
    drag = null;
    if (event.type === "pointercancel") drawAll();
    else if (kind === "box") mark(kind, boxOf(plane, path[0], path.at(-1)), positive);
    else mark(kind, kind === "point" ? [path[0]] : path, positive);
  };
  canvas.addEventListener("pointerup", released);
  canvas.addEventListener("pointercancel", released);
  canvas.addEventListener("keydown", (event) => {
    if (mode !== "refine" || event.key !== "Enter") return;
    event.preventDefault();
    mark("point", [at.slice()], belongs && !event.altKey && !event.shiftKey);
  });
}
function boxOf(plane, a, b) {
  const coarse = (axis) => axis === plane.axis ? 0 : plane.step - 1;
  return [a.map((value, axis) => Math.max(0, Math.min(value, b[axis]) - coarse(axis))), a.map((value, axis) => Math.max(value, b[axis]) + 1)];
}

function drawMarks(plane, canvas, pen) {
  if (mode !== "refine" || !target) return;
  const begun = drag && drag.plane === plane && drag.kind !== "point"
    ? [{ kind: drag.kind, positive: drag.positive, waits: true, at: drag.kind === "box" ? boxOf(plane, drag.path[0], drag.path.at(-1)) : drag.path }] : [];
  for (const { kind, at: places, positive, waits } of [...target.marks, ...begun]) {
    const shown = kind === "box" ? at[plane.axis] >= places[0][plane.axis] && at[plane.axis] < places[1][plane.axis]
      : places.some((place) => place[plane.axis] === at[plane.axis]);
    if (!shown) continue;
    const dots = places.map((place) => placeOf(plane, canvas, kind === "box" && place === places[1] ? place.map((value) => value - 1) : place));
    pen.strokeStyle = pen.fillStyle = positive ? "#009e73" : "#d55e00"; pen.lineWidth = 2;
    pen.setLineDash(waits ? [4, 3] : []);
    pen.beginPath();
    if (kind === "box") pen.rect(...dots[0], dots[1][0] - dots[0][0], dots[1][1] - dots[0][1]);
    else if (kind === "scribble") dots.forEach((dot) => pen.lineTo(...dot));
    else pen.arc(...dots[0], 5, 0, 7);
    if (kind === "point" && !waits) pen.fill();
    pen.stroke(); pen.setLineDash([]);
  }
}

byId("target").addEventListener("change", (event) => {
  const rows = scan.masks.includes(target) ? scan.masks : [...scan.masks, target];
  aimAt(event.target.value === "new" ? newRow() : rows[Number(event.target.value)]);
});
for (const button of document.querySelectorAll("[data-kind]")) button.addEventListener("click", () => { dragKind = button.dataset.kind; press(button, "kind"); });
for (const button of document.querySelectorAll("[data-sign]")) button.addEventListener("click", () => { belongs = button.dataset.sign === "yes"; press(button, "sign"); });
byId("undo").addEventListener("click", undo);
document.addEventListener("keydown", (event) => {
  if (mode !== "refine" || event.target.tagName === "INPUT" || event.key !== "z" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  if (!byId("undo").disabled) undo();
});
