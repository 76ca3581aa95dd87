// Stands for zarrita: reading Zarr would bring 1.4 MB of WebAssembly decoders, and no page here opens Zarr.
export {};
