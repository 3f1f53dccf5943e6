// Package nvml knows the GPUs of this host: who they are, how they are linked,
// what they read. It asks NVIDIA's management library where there is one, and
// reads recordings and saved nvidia-smi output everywhere.
package nvml
