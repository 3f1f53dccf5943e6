package roofline

// part is one row of the table, in the units of datasheets.
type part struct {
	name    string   // as the driver lists it
	aliases []string // other names of exactly this part
	mem     float64  // GB/s
	link    float64  // GB/s in one direction; datasheets give the sum of both
	dense   tera
	source  string
}

// tera are TFLOP/s (TOP/s for integers) by format, without sparsity: where a
// datasheet gives the figure with sparsity only, half of it.
type tera map[string]float64

var (
	v100 = tera{"fp16": 125, "fp32": 15.7}
	a100 = tera{"bf16": 312, "fp16": 312, "int8": 624, "tf32": 156, "fp32": 19.5}
	h100 = tera{"bf16": 989.4, "fp16": 989.4, "fp8": 1978.9, "int8": 1978.9, "tf32": 494.7, "fp32": 66.9}
	hNVL = tera{"bf16": 835.5, "fp16": 835.5, "fp8": 1670.5, "int8": 1670.5, "tf32": 417.5, "fp32": 60}
	mi3x = tera{"bf16": 1307.4, "fp16": 1307.4, "fp8": 2614.9, "int8": 2614.9, "tf32": 653.7, "fp32": 163.4}
)

const (
	a100Sheet  = "NVIDIA A100 Tensor Core GPU datasheet, 2022"
	h100Paper  = "NVIDIA H100 Tensor Core GPU Architecture whitepaper v1.04, 2023"
	h100Sheet  = "NVIDIA H100 Tensor Core GPU datasheet, 2024"
	h200Sheet  = "NVIDIA H200 Tensor Core GPU datasheet, 2024"
	adaPaper   = "NVIDIA Ada GPU Architecture whitepaper v2, 2023"
	blackPaper = "NVIDIA RTX Blackwell GPU Architecture whitepaper, 2025"
	proPaper   = "NVIDIA RTX PRO Blackwell GPU Architecture whitepaper, 2025"
	ga102Paper = "NVIDIA Ampere GA102 GPU Architecture whitepaper v2, 2021"
)

var parts = []part{
	// Volta, Turing.
	{"Tesla V100-SXM2-16GB", []string{"V100-SXM2-32GB"}, 900, 150, v100, "NVIDIA V100 Tensor Core GPU datasheet, 2020"},
	{"Tesla V100-PCIE-16GB", []string{"V100-PCIE-32GB"}, 900, 0, tera{"fp16": 112, "fp32": 14}, "NVIDIA V100 Tensor Core GPU datasheet, 2020"},
	{"Tesla V100S-PCIE-32GB", nil, 1134, 0, tera{"fp16": 130, "fp32": 16.4}, "NVIDIA V100 Tensor Core GPU datasheet, 2020"},
	{"Tesla T4", nil, 320, 0, tera{"fp16": 65, "int8": 130, "fp32": 8.1}, "NVIDIA T4 Tensor Core GPU product brief, 2020"},

	// Ampere.
	{"NVIDIA A100-SXM4-80GB", []string{"A100-SXM-80GB"}, 2039, 300, a100, a100Sheet},
	{"NVIDIA A100-SXM4-40GB", []string{"A100-SXM-40GB"}, 1555, 300, a100, a100Sheet},
	{"NVIDIA A100 80GB PCIe", nil, 1935, 300, a100, a100Sheet},
	{"NVIDIA A100-PCIE-40GB", nil, 1555, 300, a100, a100Sheet},
	{"NVIDIA A800-SXM4-80GB", nil, 2039, 200, a100, "NVIDIA A800 Tensor Core GPU datasheet, 2022"},
	{"NVIDIA A800 80GB PCIe", nil, 1935, 200, a100, "NVIDIA A800 Tensor Core GPU datasheet, 2022"},
	{"NVIDIA A30", nil, 933, 100, tera{"bf16": 165, "fp16": 165, "int8": 330, "tf32": 82, "fp32": 10.3}, "NVIDIA A30 Tensor Core GPU datasheet, 2022"},
	{"NVIDIA A40", nil, 696, 56.25, tera{"bf16": 149.7, "fp16": 149.7, "int8": 299.3, "tf32": 74.8, "fp32": 37.4}, "NVIDIA A40 datasheet, 2021"},
	{"NVIDIA A10", nil, 600, 0, tera{"bf16": 125, "fp16": 125, "int8": 250, "tf32": 62.5, "fp32": 31.2}, "NVIDIA A10 Tensor Core GPU datasheet, 2021"},
	{"NVIDIA A10G", nil, 600, 0, tera{"bf16": 70, "fp16": 70, "int8": 140, "tf32": 35, "fp32": 31.5}, "NVIDIA A10G datasheet, 2021"},
	{"NVIDIA A2", nil, 200, 0, tera{"bf16": 18, "fp16": 18, "int8": 36, "tf32": 9, "fp32": 4.5}, "NVIDIA A2 Tensor Core GPU datasheet, 2021"},
	{"NVIDIA RTX A6000", nil, 768, 56.25, tera{"bf16": 154.8, "fp16": 154.8, "int8": 309.7, "tf32": 77.4, "fp32": 38.7}, ga102Paper},
	{"NVIDIA GeForce RTX 3090", nil, 936, 56.25, tera{"bf16": 71, "fp16": 71, "int8": 284, "tf32": 35.6, "fp32": 35.6}, ga102Paper},

	// Ada.
	{"NVIDIA L4", nil, 300, 0, tera{"bf16": 121, "fp16": 121, "fp8": 242.5, "int8": 242.5, "tf32": 60, "fp32": 30.3}, "NVIDIA L4 Tensor Core GPU datasheet, 2023"},
	{"NVIDIA L40", nil, 864, 0, tera{"bf16": 181.05, "fp16": 181.05, "fp8": 362, "int8": 362, "tf32": 90.5, "fp32": 90.5}, "NVIDIA L40 datasheet, 2023"},
	{"NVIDIA L40S", nil, 864, 0, tera{"bf16": 362.05, "fp16": 362.05, "fp8": 733, "int8": 733, "tf32": 183, "fp32": 91.6}, "NVIDIA L40S datasheet, 2023"},
	{"NVIDIA RTX 6000 Ada Generation", nil, 960, 0, tera{"bf16": 364.2, "fp16": 364.2, "fp8": 728.5, "int8": 728.5, "tf32": 182.1, "fp32": 91.1}, "NVIDIA RTX 6000 Ada Generation datasheet, 2022"},
	{"NVIDIA GeForce RTX 4090", nil, 1008, 0, tera{"bf16": 165.2, "fp16": 165.2, "fp8": 330.3, "int8": 660.6, "tf32": 82.6, "fp32": 82.6}, adaPaper},

	// Hopper.
	{"NVIDIA H100 80GB HBM3", []string{"H100 SXM", "H100 SXM5", "H100 SXM5 80GB", "H100 SXM 80GB"}, 3350, 450, h100, h100Paper + " (memory: " + h100Sheet + ")"},
	{"NVIDIA H100 PCIe", []string{"H100 PCIe 80GB"}, 2039, 300, tera{"bf16": 756, "fp16": 756, "fp8": 1513, "int8": 1513, "tf32": 378, "fp32": 51.2}, h100Paper},
	{"NVIDIA H100 NVL", nil, 3938, 300, hNVL, h100Sheet},
	{"NVIDIA H800", nil, 3350, 200, h100, "NVIDIA H800 SXM5 datasheet, 2023"},
	{"NVIDIA H200", []string{"H200 SXM", "H200 SXM5", "H200 141GB HBM3e"}, 4800, 450, h100, h200Sheet},
	{"NVIDIA H200 NVL", nil, 4800, 450, hNVL, h200Sheet},
	{"NVIDIA H20", nil, 4000, 450, tera{"bf16": 148, "fp16": 148, "fp8": 296, "int8": 296, "tf32": 74, "fp32": 44}, "NVIDIA H20 specifications as published by SemiAnalysis, 2023"},
	{"NVIDIA GH200 480GB", []string{"GH200 120GB", "GH200 96GB HBM3"}, 4000, 450, h100, "NVIDIA GH200 Grace Hopper Superchip datasheet, 2024"},
	{"NVIDIA GH200 144G HBM3e", []string{"GH200 144GB HBM3e"}, 4900, 450, h100, "NVIDIA GH200 Grace Hopper Superchip datasheet, 2024"},

	// Blackwell.
	{"NVIDIA B200", []string{"B200 SXM6", "B200 SXM"}, 8000, 900, tera{"bf16": 2250, "fp16": 2250, "fp8": 4500, "fp4": 9000, "int8": 4500, "tf32": 1125, "fp32": 75}, "NVIDIA Blackwell datasheet (DGX B200, HGX B200), 2024"},
	{"NVIDIA GB200", nil, 8000, 900, tera{"bf16": 2500, "fp16": 2500, "fp8": 5000, "fp4": 10000, "int8": 5000, "tf32": 1250, "fp32": 80}, "NVIDIA GB200 NVL72 datasheet, 2024"},
	{"NVIDIA B300 SXM6 AC", []string{"B300", "B300 SXM6", "B300 SXM"}, 8000, 900, tera{"bf16": 2250, "fp16": 2250, "fp8": 4500, "fp4": 13500, "tf32": 1125, "fp32": 75}, "NVIDIA HGX B300 specifications, 2025"},
	{"NVIDIA GB300", nil, 8000, 900, tera{"bf16": 2500, "fp16": 2500, "fp8": 5000, "fp4": 15000, "tf32": 1250, "fp32": 80}, "NVIDIA GB300 NVL72 datasheet, 2025"},
	{"NVIDIA GeForce RTX 5090", nil, 1792, 0, tera{"bf16": 209.5, "fp16": 209.5, "fp8": 419, "fp4": 1676, "int8": 838, "tf32": 104.8, "fp32": 104.8}, blackPaper},
	{"NVIDIA RTX PRO 6000 Blackwell Server Edition", nil, 1597, 0, tera{"bf16": 500, "fp16": 500, "fp8": 1000, "fp4": 2000, "tf32": 250, "fp32": 120}, "NVIDIA RTX PRO 6000 Blackwell Server Edition datasheet, 2025"},
	{"NVIDIA RTX PRO 6000 Blackwell Workstation Edition", nil, 1792, 0, tera{"bf16": 503.8, "fp16": 503.8, "fp8": 1007.6, "fp4": 2015.2, "tf32": 251.9, "fp32": 126}, proPaper},
	{"NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", nil, 1792, 0, tera{"bf16": 438.9, "fp16": 438.9, "fp8": 877.9, "fp4": 1755.7, "tf32": 219.5, "fp32": 109.7}, proPaper},

	// AMD. The two dies of MI250 and MI250X are two devices to a driver: half of
	// the datasheet's figures each.
	{"AMD Instinct MI100", nil, 1228.8, 0, tera{"bf16": 92.3, "fp16": 184.6, "int8": 184.6, "fp32": 23.1}, "AMD Instinct MI100 accelerator data sheet, 2020"},
	{"AMD Instinct MI210", nil, 1638.4, 0, tera{"bf16": 181, "fp16": 181, "int8": 181, "fp32": 22.6}, "AMD Instinct MI210 accelerator data sheet, 2022"},
	{"AMD Instinct MI250", nil, 1638.4, 0, tera{"bf16": 181.05, "fp16": 181.05, "int8": 181.05, "fp32": 22.65}, "AMD Instinct MI250 accelerator data sheet, 2021, half: one of two dies"},
	{"AMD Instinct MI250X", nil, 1638.4, 0, tera{"bf16": 191.5, "fp16": 191.5, "int8": 191.5, "fp32": 23.95}, "AMD Instinct MI250X accelerator data sheet, 2021, half: one of two dies"},
	{"AMD Instinct MI300A", nil, 5300, 0, tera{"bf16": 980.6, "fp16": 980.6, "fp8": 1961.2, "int8": 1961.2, "tf32": 490.3, "fp32": 122.6}, "AMD Instinct MI300A APU data sheet, 2023"},
	{"AMD Instinct MI300X", []string{"MI300X OAM", "MI300X VF"}, 5300, 448, mi3x, "AMD Instinct MI300X accelerator data sheet, 2023"},
	{"AMD Instinct MI325X", []string{"MI325X OAM", "MI325X VF"}, 6000, 448, mi3x, "AMD Instinct MI325X GPU data sheet, 2024"},
	{"AMD Instinct MI350X", nil, 8000, 537.6, tera{"bf16": 2306.9, "fp16": 2306.9, "fp8": 4613.7, "fp4": 9227.5, "int8": 4613.7, "fp32": 144.2}, "AMD Instinct MI350X GPU data sheet, 2025"},
	{"AMD Instinct MI355X", nil, 8000, 537.6, tera{"bf16": 2516.6, "fp16": 2516.6, "fp8": 5033.2, "fp4": 10066.3, "int8": 5033.2, "fp32": 157.3}, "AMD Instinct MI355X GPU data sheet, 2025"},
}
