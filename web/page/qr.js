// QR codes as SVG elements.
import { encode } from './vendor/uqr.mjs'

const SVG = 'http://www.w3.org/2000/svg'

const MOST = 2331 // bytes in the largest code with error correction M (ISO/IEC 18004)

/** The QR code of text, or null for one that is too long. */
export function qrCode(text) {
  if (new TextEncoder().encode(text).length > MOST) return null
  const { size, data } = encode(text, { ecc: 'M', border: 2 })
  const dark = data.flatMap((row, y) => row.map((is, x) => (is ? `M${x} ${y}h1v1h-1z` : '')))
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', `0 0 ${size} ${size}`)
  svg.setAttribute('shape-rendering', 'crispEdges')
  const path = document.createElementNS(SVG, 'path')
  path.setAttribute('d', dark.join(''))
  svg.append(path)
  return svg
}
