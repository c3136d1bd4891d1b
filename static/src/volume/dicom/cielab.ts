// sRGB → CIELab with white D65, as DICOM stores colours (PS3.3, C.10.7.1.1): three unsigned integers of 16 bits.

export function dicomLab([red, green, blue]: readonly number[]): [number, number, number] {
  const [r, g, b] = [red!, green!, blue!].map((value) => {
    const c = value / 255;
    return 100 * (c > 0.04045 ? ((c + 0.055) / 1.055) ** 2.4 : c / 12.92);
  }) as [number, number, number];
  const x = curve((0.4124 * r + 0.3576 * g + 0.1805 * b) / 95.047);
  const y = curve((0.2126 * r + 0.7152 * g + 0.0722 * b) / 100);
  const z = curve((0.0193 * r + 0.1192 * g + 0.9505 * b) / 108.883);
  const [lightness, greenRed, blueYellow] = [116 * y - 16, 500 * (x - y), 200 * (y - z)];
  return [Math.round((lightness * 0xffff) / 100), Math.round(((greenRed + 128) * 0xffff) / 255), Math.round(((blueYellow + 128) * 0xffff) / 255)];
}

function curve(c: number): number {
  return c >= (6 / 29) ** 3 ? Math.cbrt(c) : (841 / 108) * c + 4 / 29;
}
