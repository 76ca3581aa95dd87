// The 3-D view, drawn by NiiVue (niivue.js, which stands before this): masks as surfaces, the scan as a body one looks into
// or as the three planes that meet in the crosshair. Places are mm along the axes of the RAS grid, as in solids.py.
window.ostensorSolid = (() => {
  "use strict";
  const { Niivue, NVImage, NVMesh, SLICE_TYPE } = niivue;
  const LIT = 0.3, PLANES = -1;        // NiiVue's gradientAmount; below 0 it draws planes instead of a body
  const LAMP = 1.4;                    // at the eye, of NiiVue's shader "Diffuse"; what faces the eye has its mask's very colour
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

  async function surface(mask, nv) {
    const steps = new Uint16Array(await inflate(mask.points)), points = new Float32Array(steps.length);
    for (let i = 0; i < steps.length; i++) points[i] = mask.origin_mm[i % 3] + mask.unit_mm[i % 3] * steps[i];
    const colour = [1, 3, 5].map((from) => parseInt(mask.colour.slice(from, from + 2), 16) / LAMP);
    const triangles = new Uint32Array(await inflate(mask.triangles));
    const mesh = new NVMesh(points, triangles, mask.mask_id, new Uint8Array([...colour, 255]), 1, true, nv.gl);
    mesh.meshShaderIndex = nv.meshShaderNameToNumber("Diffuse");
    return mesh;
  }

  // A view on a canvas that fills its parent. `chosen` is told where a double click in it lies (mm).
  async function show(canvas, scan, chosen) {
    const nv = new Niivue({
      sliceType: SLICE_TYPE.RENDER, backColor: [0, 0, 0, 1], isOrientCube: true, meshXRay: SEEN_THROUGH,
      show3Dcrosshair: true, crosshairWidth: 1, crosshairColor: [0.34, 0.71, 0.91, 1],
      dragAndDropEnabled: false, viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
      loadingText: "", showLegend: false, logLevel: "error",
    });
    await nv.attachToCanvas(canvas, true);
    const body = await NVImage.new(nifti(scan, await inflate(scan.grey)), "scan.nii", "gray", 1, null, 0, 255);
    nv.addVolume(body);
    nv.setScale(0.9);
    nv.setRenderAzimuthElevation(145, 15);                                            // from the front, the patient's left
    nv.onLocationChange = (where) => chosen(Array.from(where.mm).slice(0, 3));
    const meshes = new Map();
    return {
      async add(mask) {
        if (!mask.points) return;
        meshes.set(mask.mask_id, await surface(mask, nv));
        nv.addMesh(meshes.get(mask.mask_id));
      },
      hide(hidden) {
        for (const [maskId, mesh] of meshes) mesh.visible = !hidden.has(maskId);
        nv.drawScene();
      },
      place(mm) { nv.scene.crosshairPos = nv.mm2frac(mm); nv.drawScene(); },
      async scanAs(kind) {                                                            // "body", "planes" or "hidden"
        body.opacity = kind === "hidden" ? 0 : 1;
        nv.opts.meshXRay = kind === "body" ? SEEN_THROUGH : 0;
        await nv.setVolumeRenderIllumination(kind === "planes" ? PLANES : LIT);
      },
      close() { nv.cleanup(); nv.gl.getExtension("WEBGL_lose_context")?.loseContext(); },
    };
  }
  return { show };
})();
