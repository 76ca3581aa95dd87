// What of NiiVue is built into niivue.js.
export { Niivue, NVImage, NVMesh, SLICE_TYPE } from "@niivue/niivue";
