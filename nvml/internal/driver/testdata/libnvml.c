/*
 * A stand-in for NVIDIA's management library with two GPUs and few functions:
 * what a real library has beyond these is missing here, as from an old driver.
 * Build: cc -shared -fPIC -o libnvidia-ml.so.1 libnvml.c
 * -DNO_INIT leaves out what every library has; -DNO_DRIVER is a library whose
 * kernel driver is not loaded; -DLOSE_ONE has a third GPU, which is lost;
 * -DKILL dies when power is asked.
 */
#include <stdlib.h>
#include <string.h>
#include <stdio.h>

typedef int ret;
enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_LOADED = 9, TIMEOUT = 10, LOST = 15, VERSION = 25 };

struct gpu { int index; unsigned long long calls; };
static struct gpu gpus[2] = {{0}, {1}};

#ifndef NO_INIT
ret nvmlInit_v2(void) {
#ifdef NO_DRIVER
	return NOT_LOADED;
#else
	return SUCCESS;
#endif
}
#endif
ret nvmlShutdown(void) { return SUCCESS; }
ret nvmlDeviceGetCount_v2(unsigned *n) {
#ifdef LOSE_ONE
	*n = 3;
#else
	*n = 2;
#endif
	return SUCCESS;
}
ret nvmlDeviceGetHandleByIndex_v2(unsigned i, struct gpu **d) {
	if (i > 1) return LOST;
	*d = &gpus[i];
	return SUCCESS;
}
ret nvmlSystemGetDriverVersion(char *s, unsigned n) { snprintf(s, n, "450.00"); return SUCCESS; }
ret nvmlSystemGetCudaDriverVersion(int *v) { *v = 12080; return SUCCESS; }
ret nvmlDeviceGetName(struct gpu *d, char *s, unsigned n) { snprintf(s, n, "NVIDIA Stand-in %d", d->index); return SUCCESS; }

struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; };
ret nvmlDeviceGetPciInfo_v3(struct gpu *d, struct pci *p) {
	memset(p, 0, sizeof *p);
	snprintf(p->bus_id, sizeof p->bus_id, "00000000:%02X:00.0", 0xA0 + d->index);
	return SUCCESS;
}
ret nvmlDeviceGetNvLinkRemotePciInfo_v2(struct gpu *d, unsigned link, struct pci *p) {
	struct gpu other = {1 - d->index};
	return link < 2 ? nvmlDeviceGetPciInfo_v3(&other, p) : INVALID;
}
ret nvmlDeviceGetNvLinkState(struct gpu *d, unsigned link, unsigned *on) {
	if (link > 2) return INVALID;
	*on = link < 2;
	return SUCCESS;
}
ret nvmlDeviceGetNvLinkRemoteDeviceType(struct gpu *d, unsigned link, int *type) { *type = 0; return SUCCESS; }
ret nvmlDeviceGetTopologyCommonAncestor(struct gpu *a, struct gpu *b, int *level) { *level = 30; return SUCCESS; }

ret nvmlDeviceGetPowerUsage(struct gpu *d, unsigned *mw) {
#ifdef KILL
	fprintf(stderr, "stand-in: undefined symbol\n");
	_Exit(127);
#endif
	*mw = 100000 + d->index + 1000 * (d->calls++ % 50);
	return SUCCESS;
}
ret nvmlDeviceGetEnforcedPowerLimit(struct gpu *d, unsigned *mw) { *mw = 400000; return SUCCESS; }
ret nvmlDeviceGetClockInfo(struct gpu *d, int which, unsigned *mhz) { *mhz = which == 1 ? 1410 : 1215; return SUCCESS; }
/* Only the name that older drivers have. */
ret nvmlDeviceGetCurrentClocksThrottleReasons(struct gpu *d, unsigned long long *bits) { *bits = 0x4; return SUCCESS; }
/* The newer function is there and does not serve this GPU; the older one does. */
ret nvmlDeviceGetTemperatureV(struct gpu *d, void *t) { return NOT_SUPPORTED; }
ret nvmlDeviceGetTemperature(struct gpu *d, int sensor, unsigned *c) { *c = 55; return SUCCESS; }

struct util { unsigned gpu, memory; };
ret nvmlDeviceGetUtilizationRates(struct gpu *d, struct util *u) { u->gpu = 88; u->memory = 44; return SUCCESS; }
struct memory { unsigned long long total, free, used; };
ret nvmlDeviceGetMemoryInfo(struct gpu *d, struct memory *m) { m->total = 40ULL << 30; m->used = 10ULL << 30; m->free = 30ULL << 30; return SUCCESS; }
ret nvmlDeviceGetMigMode(struct gpu *d, unsigned *now, unsigned *pending) { *now = 0; *pending = 1; return SUCCESS; }
ret nvmlDeviceGetCudaComputeCapability(struct gpu *d, int *major, int *minor) { *major = 8; *minor = 0; return SUCCESS; }
ret nvmlDeviceGetCpuAffinityWithinScope(struct gpu *d, unsigned words, unsigned long *set, unsigned scope) {
	memset(set, 0, words * sizeof *set);
	set[0] = 0xFFFF;
	set[2] = 1;
	return SUCCESS;
}

struct fabric1 { unsigned char uuid[16]; int status; unsigned clique; unsigned char state; };
ret nvmlDeviceGetGpuFabricInfoV(struct gpu *d, void *v) { return VERSION; }
ret nvmlDeviceGetGpuFabricInfo(struct gpu *d, struct fabric1 *f) { memset(f, 0, sizeof *f); f->state = 3; f->clique = 7; return SUCCESS; }

struct field { unsigned id, scope; long long timestamp, latency; int type; ret code; union { double d; int i; unsigned u; long long ll; unsigned long long ull; unsigned short s; } value; };
ret nvmlDeviceGetFieldValues(struct gpu *d, int n, struct field *v) {
	for (int i = 0; i < n; i++) {
		v[i].code = SUCCESS;
		v[i].type = 3;
		memset(&v[i].value, 0, sizeof v[i].value);
		switch (v[i].id) {
		case 82: v[i].type = 1; v[i].value.u = 61; break;          /* memory temperature */
		case 83: v[i].value.ull = 1234567890123ULL; break;         /* energy */
		case 90: v[i].type = 0; v[i].value.d = 25781.4; break;     /* link speed, as a double */
		case 138: case 139:                                        /* NVLink: one link at a time */
			if (v[i].scope > 1) v[i].code = INVALID;
			v[i].value.ull = 1000 * (v[i].scope + 1);
			break;
		case 142: v[i].type = 5; v[i].value.i = 3; break;          /* remapped rows, signed */
		case 143: v[i].type = 4; v[i].value.ll = -1; break;        /* a negative number is no number */
		case 144: v[i].type = 6; v[i].value.s = 1; break;
		default: v[i].code = NOT_SUPPORTED;
		}
	}
	return SUCCESS;
}

struct event { struct gpu *device; unsigned long long type, data; unsigned gi, ci; };
static int told;
ret nvmlEventSetCreate(void **set) { *set = &told; return SUCCESS; }
ret nvmlEventSetFree(void *set) { return SUCCESS; }
ret nvmlDeviceRegisterEvents(struct gpu *d, unsigned long long types, void *set) { return types == 8 ? SUCCESS : INVALID; }
ret nvmlEventSetWait_v2(void *set, struct event *e, unsigned ms) {
	if (told++ != 0) return TIMEOUT;
	e->device = &gpus[1];
	e->type = 8;
	e->data = 79;
	return SUCCESS;
}

struct support { unsigned version, yes; };
struct metric { unsigned id; ret code; double value; char *names[3]; };
struct metrics { unsigned version, n; void *before, *after; struct metric m[]; };
ret nvmlGpmQueryDeviceSupport(struct gpu *d, struct support *s) { s->yes = d->index == 0; return SUCCESS; }
ret nvmlGpmSampleAlloc(int **s) { *s = calloc(1, sizeof **s); return SUCCESS; }
ret nvmlGpmSampleFree(int *s) { free(s); return SUCCESS; }
static int samples;
ret nvmlGpmSampleGet(struct gpu *d, int *s) { *s = ++samples; return SUCCESS; }
ret nvmlGpmMetricsGet(struct metrics *g) {
	if (*(int *)g->after - *(int *)g->before != 1) return INVALID;
	for (unsigned i = 0; i < g->n; i++) {
		g->m[i].code = g->m[i].id >= 60 ? NOT_SUPPORTED : SUCCESS;
		g->m[i].value = g->m[i].id + 0.5;
	}
	return SUCCESS;
}
