// The 3-D view, drawn by NiiVue (niivue.js, which stands before this): masks as surfaces, the scan as a body one looks into
// or as the three planes that meet in the crosshair. Places are mm along the axes of the RAS grid, as in solids.py.
window.ostensorSolid = (() => {
  "use strict";
  const { Niivue, NVImage, NVMesh, SLICE_TYPE } = niivue;
  const LIT = 0.3, PLANES = -1;        // NiiVue's gradientAmount; below 0 it draws planes instead of a body
  const LAMP = 1.4;                    // at the eye, of NiiVue's shader "Diffuse"; what faces the eye has its mask's very colour
  const HALVED = [0, 180, 0], WHOLE = [2, 0, 0];   // depth, azimuth and elevation of NiiVue's cut: without the front half, or none
  const STEPS = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  const ROUNDS = 20, INWARD = 0.5, OUTWARD = -0.53;
  const SEEN_THROUGH = 0.35;           // how strongly a mask shines through the body around it

  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
  }

  // The grey block as a NIfTI-1 file, which NiiVue opens.
  function nifti(scan, grey) {
    const file = new ArrayBuffer(352 + grey.byteLength), view = new DataView(file);
    const short = (at, value) => view.setInt16(at, value, true), real = (at, value) => view.setFloat32(at, value, true);
    view.setInt32(0, 348, true);
    [3, ...scan.shape, 1, 1, 1, 1].forEach((n, i) => short(40 + 2 * i, n));
    short(70, 2); short(72, 8);                                                       // unsigned bytes
    [1, ...scan.spacing_mm].forEach((mm, i) => real(76 + 4 * i, mm));
    real(108, 352); real(112, 1); view.setUint8(123, 2); short(254, 2);               // mm, and the affine counts
    for (let i = 0; i < 3; i++) { real(280 + 20 * i, scan.spacing_mm[i]); real(292 + 16 * i, scan.origin_mm[i]); }
    [0x6e, 0x2b, 0x31].forEach((letter, i) => view.setUint8(344 + i, letter));        // "n+1"
    new Uint8Array(file, 352).set(new Uint8Array(grey));
    return file;
  }

  // The closed surface of what is inside a block (x fastest): points in mm, triangles facing outwards.
  // Source: surface nets, Gibson 1998 (MICCAI, p. 888): a point in every cell of eight voxels that the surface crosses, at the
  // mean of its crossings; then smoothed without shrinking, Taubin 1995 (SIGGRAPH, p. 351).
  function surface({ shape: [nx, ny, nz], spacing_mm, origin_mm, inside }) {
    const at = (x, y, z) => x >= 0 && y >= 0 && z >= 0 && x < nx && y < ny && z < nz && inside[(z * ny + y) * nx + x] ? 1 : 0;
    const [[lx, ly, lz], [hx, hy, hz]] = box(inside, nx, ny);
    const cells = new Int32Array((hx - lx + 2) * (hy - ly + 2) * (hz - lz + 2));      // number of a cell's point, from 1
    const cell = (x, y, z) => ((z - lz + 1) * (hy - ly + 2) + y - ly + 1) * (hx - lx + 2) + x - lx + 1;   // by its first corner
    const places = [], triangles = [], corners = new Uint8Array(8);
    for (let z = lz - 1; z <= hz; z++) for (let y = ly - 1; y <= hy; y++) for (let x = lx - 1; x <= hx; x++) {
      let full = 0;
      for (let n = 0; n < 8; n++) full += corners[n] = at(x + (n & 1), y + (n >> 1 & 1), z + (n >> 2));
      if (full === 0 || full === 8) continue;
      const sum = [0, 0, 0];
      let crossings = 0;
      for (let n = 0; n < 8; n++) for (let axis = 0; axis < 3; axis++) {
        const other = n | 1 << axis;
        if (other === n || corners[n] === corners[other]) continue;
        crossings += 1;
        for (let i = 0; i < 3; i++) sum[i] += i === axis ? 0.5 : n >> i & 1;
      }
      [x, y, z].forEach((first, i) => places.push(first + sum[i] / crossings));
      cells[cell(x, y, z)] = places.length / 3;
    }
    for (let z = lz - 1; z <= hz; z++) for (let y = ly - 1; y <= hy; y++) for (let x = lx - 1; x <= hx; x++) for (let axis = 0; axis < 3; axis++) {
      const [dx, dy, dz] = STEPS[axis], here = at(x, y, z);
      if (here === at(x + dx, y + dy, z + dz)) continue;
      const [ux, uy, uz] = STEPS[(axis + 1) % 3], [vx, vy, vz] = STEPS[(axis + 2) % 3];
      const round = [[1, 1], [0, 1], [0, 0], [1, 0]].map(([u, v]) => cells[cell(x - u * ux - v * vx, y - u * uy - v * vy, z - u * uz - v * vz)] - 1);
      const [a, b, c, d] = here ? round : round.reverse();
      triangles.push(a, b, c, a, c, d);
    }
    const points = new Float32Array(places.length);
    smoothed(places, triangles).forEach((place, n) => { points[n] = origin_mm[n % 3] + spacing_mm[n % 3] * place; });
    return { points, triangles: new Uint32Array(triangles) };
  }
  function box(inside, nx, ny) {
    const low = [Infinity, Infinity, Infinity], high = [-1, -1, -1];
    for (let v = inside.indexOf(1); v >= 0; v = inside.indexOf(1, v + 1)) {
      const place = [v % nx, Math.floor(v / nx) % ny, Math.floor(v / nx / ny)];
      for (let i = 0; i < 3; i++) { low[i] = Math.min(low[i], place[i]); high[i] = Math.max(high[i], place[i]); }
    }
    return [low, high];
  }
  function smoothed(places, triangles) {
    let now = Float64Array.from(places);
    const near = new Uint8Array(places.length / 3);
    for (const n of triangles) near[n] += 2;
    for (let turn = 0; turn < 2 * ROUNDS; turn++) {
      const sum = new Float64Array(now.length), factor = turn % 2 ? OUTWARD : INWARD;
      for (let t = 0; t < triangles.length; t += 3) for (let k = 0; k < 3; k++) {
        const a = 3 * triangles[t + k], b = 3 * triangles[t + (k + 1) % 3];
        for (let i = 0; i < 3; i++) { sum[a + i] += now[b + i]; sum[b + i] += now[a + i]; }
      }
      now = now.map((place, n) => place + factor * (sum[n] / near[Math.floor(n / 3)] - place));
    }
    return now;
  }

  // NiiVue draws at every change, some of which come together; without a graphics card each picture may take a second.
  function drawOncePerFrame(nv) {
    const draw = nv.drawScene.bind(nv);
    let asked = true;                                                                 // nothing is drawn before all is there
    nv.drawScene = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        const picks = nv.uiData.mouseDepthPicker;                                       // draws what is read, not what is seen
        draw();
        if (picks) draw();
      });
    };
    return () => { asked = false; nv.drawScene(); };
  }

  async function unpacked(mask) {
    const bits = new Uint8Array(await inflate(mask.bits)), count = mask.shape.reduce((a, b) => a * b, 1);
    return { ...mask, inside: Uint8Array.from({ length: count }, (_, n) => bits[n >> 3] >> (7 - (n & 7)) & 1) };
  }
  function mesh(mask, nv) {
    const { points, triangles } = surface(mask);
    const colour = [1, 3, 5].map((from) => parseInt(mask.colour.slice(from, from + 2), 16) / LAMP);
    const made = new NVMesh(points, triangles, mask.mask_id, new Uint8Array([...colour, 255]), 1, true, nv.gl);
    made.meshShaderIndex = nv.meshShaderNameToNumber("Diffuse");
    return made;
  }

  // A view on a canvas that fills its parent. `chosen` is told where a double click in it lies (mm).
  // Scan: {shape, spacing_mm, origin_mm, and grey (deflated) or voxels}. Masks: the same with bits (deflated) or inside, their
  // mask_id and colour. The first picture comes with the first scanAs(), when all masks are added.
  async function show(canvas, scan, chosen) {
    const nv = new Niivue({
      sliceType: SLICE_TYPE.RENDER, backColor: [0, 0, 0, 1], isOrientCube: true, clipPlaneColor: [0, 0, 0, 0], meshXRay: SEEN_THROUGH,
      show3Dcrosshair: true, crosshairWidth: 1, crosshairColor: [0.34, 0.71, 0.91, 1],
      dragAndDropEnabled: false, viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
      loadingText: "", showLegend: false, logLevel: "error",
    });
    await nv.attachToCanvas(canvas, true);
    const begin = drawOncePerFrame(nv);
    const body = await NVImage.new(nifti(scan, scan.voxels ?? await inflate(scan.grey)), "scan.nii", "gray", 1, null, 0, 255);
    nv.addVolume(body);
    nv.setScale(0.9);
    nv.setRenderAzimuthElevation(145, 15);                                            // from the front, the patient's left
    nv.onLocationChange = (where) => chosen(Array.from(where.mm).slice(0, 3));
    const meshes = new Map();
    let begun = false;
    return {
      async add(mask) {
        if (!mask.inside && !mask.bits) return;                                        // an empty mask
        const block = mask.inside ? mask : await unpacked(mask);
        if (!block.inside.includes(1)) return;
        meshes.set(mask.mask_id, mesh(block, nv));
        nv.addMesh(meshes.get(mask.mask_id));
      },
      remove(maskId) {
        if (meshes.has(maskId)) nv.removeMesh(meshes.get(maskId));
        meshes.delete(maskId);
      },
      hide(hidden) {
        for (const [maskId, one] of meshes) one.visible = !hidden.has(maskId);
        nv.drawScene();
      },
      place(mm) { nv.scene.crosshairPos = nv.mm2frac(mm); nv.drawScene(); },
      async scanAs(kind) {                                                            // "body", "cut", "planes" or "hidden"
        body.opacity = kind === "hidden" ? 0 : 1;
        nv.opts.meshXRay = kind === "body" || kind === "cut" ? SEEN_THROUGH : 0;
        nv.setClipPlane(kind === "cut" ? HALVED : WHOLE);
        await nv.setVolumeRenderIllumination(kind === "planes" ? PLANES : LIT);
        if (!begun) begin();
        begun = true;
        await new Promise(requestAnimationFrame);                                       // after the picture, which was asked for before
        canvas.dataset.scan = kind;
      },
      close() { nv.cleanup(); nv.gl.getExtension("WEBGL_lose_context")?.loseContext(); },
    };
  }
  return { show, surface, unpacked };
})();
