/** WebGL renderers that are no graphics hardware, by their names. */
export const SOFTWARE_RENDERER = /swiftshader|llvmpipe|softpipe|software|basic render/i;
