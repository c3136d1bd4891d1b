// WebGPU's adapter and device: requesting them, telling software from hardware, and their facts for the diagnostics.
import { messageOf } from '../message';
import type { Probe } from '../types';
import type { AdapterKind } from './tunables';

type AdapterInfo = Pick<GPUAdapterInfo, 'vendor' | 'architecture' | 'device' | 'description' | 'isFallbackAdapter'>;

export interface OpenDevice {
  readonly device: GPUDevice;
  readonly kind: AdapterKind;
  /** Rejects with a sentence when the device is lost; never resolves. */
  readonly lost: Promise<never>;
  /** First error the device reported outside any scope since the last call, or null. */
  takeError(): string | null;
}

/** Throws an Error with the reason where there is no adapter. */
async function requestAdapter(): Promise<GPUAdapter> {
  if (typeof navigator === 'undefined' || !('gpu' in navigator)) {
    const secure = !('isSecureContext' in globalThis) || globalThis.isSecureContext ? '' : '; the page must be served over https or from localhost';
    throw new Error(`WebGPU: this browser does not offer it${secure}`);
  }
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) throw new Error('WebGPU: no adapter; the browser has blocked or lacks a suitable graphics driver');
  return adapter;
}

export async function probeDevice(): Promise<Probe> {
  try {
    const adapter = await requestAdapter();
    const { limits } = adapter;
    const info = infoOf(adapter);
    return {
      available: true,
      device: describe(info),
      software: isSoftware(kindOf(adapter)),
      details: {
        vendor: info.vendor,
        architecture: info.architecture,
        device: info.device,
        description: info.description,
        shaderF16: adapter.features.has('shader-f16') ? 'yes' : 'no',
        timestampQuery: adapter.features.has('timestamp-query') ? 'yes' : 'no',
        maxBufferSize: limits.maxBufferSize,
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
        maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      },
    };
  } catch (error) {
    return { available: false, reason: messageOf(error) };
  }
}

/** Features that are used where the adapter has them; none is required. The types lack `subgroups`. */
function featuresFor(kind: AdapterKind, timestamps: boolean): GPUFeatureName[] {
  return ['shader-f16', ...(timestamps ? ['timestamp-query' as const] : []), ...(kind === 'swiftshader' ? ['subgroups' as GPUFeatureName] : [])];
}

/**
 * Throws an Error where there is no adapter or device, or `f16` is asked for and the adapter lacks it. Asks for no limit
 * beyond the defaults. `timestamps`: on hardware only, where not given. In software the wall clock says the same, and
 * reading timestamps after each submission makes lavapipe under Deno wait about 10 ms.
 */
export async function openDevice(f16: boolean, timestamps?: boolean): Promise<OpenDevice> {
  const adapter = await requestAdapter();
  if (f16 && !adapter.features.has('shader-f16')) {
    throw new Error(`WebGPU: ${describe(infoOf(adapter))} lacks shader-f16; use 32-bit storage`);
  }
  const kind = kindOf(adapter);
  const requiredFeatures = featuresFor(kind, timestamps ?? !isSoftware(kind)).filter((name) => adapter.features.has(name));
  const device = await adapter.requestDevice({ label: 'meshnet', requiredFeatures });
  let reported: string | null = null;
  device.onuncapturederror = (event) => {
    reported ??= event.error.message;
  };
  const lost = device.lost.then((info): never => {
    throw new Error(
      info.reason === 'destroyed'
        ? 'WebGPU: the device was closed'
        : `WebGPU: the graphics device was lost (${info.message || info.reason || 'no reason given'})`,
    );
  });
  lost.catch(() => undefined); // the next run rejects with it; the console need not report it
  const takeError = (): string | null => {
    const message = reported;
    reported = null;
    return message;
  };
  return { device, kind, lost, takeError };
}

function describe(info: AdapterInfo): string {
  return info.description || [info.vendor, info.architecture, info.device].filter((part) => part !== '').join(' ') || 'unnamed adapter';
}

/** Empty before Chrome 127, whose adapters have no `info`. */
function infoOf(adapter: GPUAdapter): AdapterInfo {
  return 'info' in adapter ? adapter.info : { vendor: '', architecture: '', device: '', description: '', isFallbackAdapter: false };
}

function isSoftware(kind: AdapterKind): boolean {
  return kind !== 'hardware' && kind !== 'mobile';
}

/** Fallback adapters and the known software rasterisers rank after the CPU engine. */
function kindOf(adapter: GPUAdapter): AdapterKind {
  const { features } = adapter;
  const info = infoOf(adapter);
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  if (/llvmpipe|lavapipe/i.test(text)) return 'llvmpipe';
  if (/swiftshader/i.test(text) && features.has('subgroups')) return 'swiftshader';
  if (info.isFallbackAdapter || /swiftshader|basic render|software/i.test(text)) return 'software';
  return /^(arm|qualcomm|img-tec)$/i.test(info.vendor) ? 'mobile' : 'hardware';
}
