package diagnose

// Thresholds of judgement. "Measured" means our captures of vLLM 0.20.2 on
// H200: Llama-3-8B and Qwen3 shapes, one and two GPUs.
const (
	// minStepShare is the least share of a step that a finding speaks of:
	// steps of one window vary by more than this among themselves.
	minStepShare = 0.03
	// minWindowShare is the least share of all steps: half of a step kind that
	// makes 2 % of the window is still not worth a reader's minute.
	minWindowShare = 0.01
	// warningShare and errorShare grade the share of all steps: a tenth is a
	// GPU in ten, a quarter outweighs any kernel work that could be done instead.
	warningShare = 0.10
	errorShare   = 0.25
	// mainPhaseShare: a phase above it is the window, and its share of all
	// steps needs no words of its own.
	mainPhaseShare = 0.95
	// fewSteps: below it a mean is an anecdote, and the evidence says so.
	fewSteps = 3
	// maxFindings keeps the list readable: the page shows five.
	maxFindings = 12

	// hostShare is the share of a step lost to the host from which it is a
	// cause: every launch costs some idle time, 2 % of it measured on a rank
	// whose host is far ahead.
	hostShare = 0.05
	// lateShare is the difference between two ranks' waiting, as a share of
	// the step, from which one of them is late; the late rank itself waits 1 %.
	lateShare = 0.05
	// lateHostPart: at least this part of the others' waiting must be matched
	// by extra host idleness of the late rank, else its work is the cause.
	lateHostPart = 0.5
	// imbalanceShare: waiting that no host explains.
	imbalanceShare = 0.05
	// unsplitShare: collectives of a lone rank hold transfer too (measured
	// 4–6 % with two GPUs), so only more than this hints at waiting.
	unsplitShare = 0.15
	// dependencyShare: waiting for another stream costs 0.2–0.7 % normally.
	dependencyShare = 0.05
	// noStepShare: a server under load opens its next step at once.
	noStepShare = 0.10

	// unexplainedShare: from a quarter on, idle time outweighs any part, and what
	// findings say of the rest is beside the point.
	unexplainedShare = 0.25

	// transferShare: two all-reduces a layer of 4 µs are the price of tensor
	// parallelism (measured 4.6 %); above this the price is high.
	transferShare = 0.05
	// wideShare: from a fifth on, fewer ranks per replica are worth a try.
	wideShare = 0.20
	// customReduceBytes is the message size up to which the servers' own
	// all-reduce is used at every supported width (vLLM: 256 KiB with 8 Hopper
	// GPUs, far more with 2 or 4).
	customReduceBytes = 256 << 10
	// customReduceNS is a one-shot all-reduce of a decode step's message
	// between two H200 (measured 4.0 µs; NCCL 6.8 µs): the least that stays.
	customReduceNS = 4000
	// largeMessageBytes: from here on bandwidth rules, not latency.
	largeMessageBytes = 1 << 20

	// stretchRatio of a mixed step to a decode step from which requests that
	// decode notice: a token gap twice the usual one.
	stretchRatio = 2.0
	// leastChunk is the smallest chunk we suggest: below it prefill itself is
	// bound by weight reads.
	leastChunk = 256
	// leastBudget is the smallest token budget of a step that vLLM accepts with
	// its default limit of requests on a large GPU (1,024).
	leastBudget = 1024
	// largestCapture is the largest CUDA graph size we suggest; beyond it the
	// GPU has enough work a step to outrun the host.
	largestCapture = 2048

	// lowBandwidth: a matrix product of a decode step that reaches less of the
	// memory's peak is inefficient; attainable is what large ones reach
	// (measured 86 % for gate_up of Llama-3-8B).
	lowBandwidth        = 0.60
	attainableBandwidth = 0.85
	// splitKShare and quantShare: helpers of products, measured about 2 %.
	splitKShare = 0.03
	quantShare  = 0.03
	// unfusedShare: norms, rope, activation and pointwise kernels; compiled
	// models spend 4–6 % of a step in them, and tensor parallelism halves
	// everything but them.
	unfusedShare = 0.06
	// shortShare is the share of the window in kernels that last less than a
	// launch costs.
	shortShare = 0.10
	// kvReadShare: attention beyond it means long contexts, where the cache's
	// bytes rule the step.
	kvReadShare = 0.30
	// kvReadSaving: a cache of half the bytes saves at most half the time.
	kvReadSaving = 0.5
	// kvWriteShare: writing one token per request takes 1 % (2 µs a layer).
	kvWriteShare = 0.05
	// moeOverheadShare: routing and permuting, measured 3 %.
	moeOverheadShare = 0.05
	// loraShare: adapters, measured 10 % at rank 16 with one adapter.
	loraShare = 0.05
	// samplingShare: after the logits, measured 2–4 % of small models.
	samplingShare = 0.03
	// sortPart of the sampling time: the mark of top-p or top-k by full sort.
	sortPart = 0.25
	// copyShare: copies that nothing hides, measured below 1 %.
	copyShare = 0.03

	// expertShare of a step in expert products, and thinTokens per expert,
	// below which every expert's weights are read for a handful of rows; a
	// tile of a grouped product has 16 rows at least.
	expertShare = 0.20
	thinTokens  = 16
	// smallBatch: requests a decode step below which its products read weights
	// for few rows; products turn compute-bound near 300 rows on Hopper.
	smallBatch = 32
	// productShare of a step in products, for smallBatch to matter.
	productShare = 0.30
	// weightShare of a step in the least weight read from which the batch, not
	// the kernels, is the lever.
	weightShare = 0.5
	// taxShare: the profiler's stretch that is worth a word.
	taxShare = 0.03
)
