// AMAD in plain JavaScript: value, alignment weights and gradient, from the formulas of
// docs/specification.md. No dependencies. One head is one Float64Array.
//
//   amad vectors export vectors
//   node examples/node_port/amad.mjs vectors results.json
//   amad vectors check results.json --vectors vectors

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

// ---- vectors ---------------------------------------------------------------------------------

const dot = (u, v) => u.reduce((sum, x, k) => sum + x * v[k], 0);
const l1Norm = (v) => v.reduce((sum, x) => sum + x, 0); // maps are not negative
const l2Norm = (v) => Math.sqrt(dot(v, v));
const scaled = (v, factor) => v.map((x) => x * factor);
const unit = (v, norm) => scaled(v, norm > 0 ? 1 / norm : 0); // a head of zeros stays zeros
const total = (numbers) => numbers.reduce((sum, x) => sum + x, 0);

// Σ_j a_j v_j
function combination(factors, heads) {
  const sum = new Float64Array(heads[0].length);
  heads.forEach((head, j) => head.forEach((x, k) => (sum[k] += factors[j] * x)));
  return sum;
}

// ---- eq. 2: a_j = exp(c_j / τ) / Σ_m exp(c_m / τ), over student heads --------------------------

function softmax(cosines, temperature) {
  const largest = Math.max(...cosines);
  const powers = cosines.map((c) => Math.exp((c - largest) / temperature));
  return powers.map((p) => p / total(powers));
}

// ---- divergences: the term of one cell, and its derivative with respect to the mixture m -------

const squaredDistance = (p, m) => [(p - m) ** 2, -2 * (p - m)];

// p log(p / max(m, ε)), with 0 log 0 = 0; no derivative at and below the floor.
function klDivergence(p, m, eps) {
  if (p === 0) return [0, 0];
  return [p * Math.log(p / Math.max(m, eps)), m > eps || eps === 0 ? -p / m : 0];
}

// ½ p log(p / h) + ½ m log(m / h) with h = (p + m) / 2, both m and h floored in the logarithms.
function jensenShannon(p, m, eps) {
  const h = (p + m) / 2;
  if (h === 0) return [0, 0];
  const fromTeacher = p > 0 ? p * Math.log(p / Math.max(h, eps)) : 0;
  const logRatio = Math.log(Math.max(m, eps) / Math.max(h, eps));
  const fromMixture = m > 0 ? m * logRatio : 0;
  return [(fromTeacher + fromMixture) / 2, (logRatio + (m > eps) - (h > eps)) / 2];
}

const VARIANTS = {
  mse: { norm: l2Norm, divergence: squaredDistance }, // eq. 4-6
  kl: { norm: l1Norm, divergence: klDivergence }, // eq. 9
  projected: { norm: l1Norm, divergence: klDivergence }, // eq. 10-11
  token: { norm: l1Norm, divergence: klDivergence }, // eq. 12
  js: { norm: l1Norm, divergence: jensenShannon },
};

// ---- eq. 5 for heads that are aligned with each other, and its gradient -------------------------

// Derivative of v / |v|: (g - n <g, v/|v|>) / |v|, with n = v/|v|_2 for L2, n = 1 for L1.
function throughNorm(upstream, head, norm, along) {
  const length = norm(head);
  if (length === 0) return scaled(head, 0);
  const inner = dot(upstream.map((g) => (Number.isFinite(g) ? g : 0)), unit(head, length));
  return upstream.map((g, k) => (g - along[k] * inner) / length);
}

// Teacher and student heads to { value, weights [Ht][Hs], gradient [Hs][n] }.
function alignedLoss(teacher, student, { variant, temperature, eps }) {
  const { norm, divergence } = VARIANTS[variant];
  const cosineUnits = student.map((s) => unit(s, l2Norm(s))); // ŝ_j
  const entering = student.map((s) => unit(s, norm(s))); // u_j
  const byCosine = student.map((s) => new Float64Array(s.length)); // ∂L/∂ŝ_j
  const byMixture = student.map((s) => new Float64Array(s.length)); // ∂L/∂u_j
  let value = 0;

  const weights = teacher.map((t) => {
    const teacherUnit = unit(t, l2Norm(t)); // t̂_i
    const a = softmax(cosineUnits.map((s) => dot(teacherUnit, s)), temperature);
    const target = unit(t, norm(t)); // p_i
    const mixture = combination(a, entering); // m_i = Σ_j a_ij u_j
    const terms = Array.from(target, (p, k) => divergence(p, mixture[k], eps));
    value += total(terms.map(([term]) => term));

    const slopes = terms.map(([, slope]) => slope); // ∂D/∂m_i
    const finite = slopes.map((g) => (Number.isFinite(g) ? g : 0)); // infinite ones stay in place
    const byWeight = entering.map((u) => dot(finite, u)); // ∂L/∂a_ij
    const mean = dot(a, byWeight);
    student.forEach((_, j) => {
      const byLogit = (a[j] * (byWeight[j] - mean)) / temperature; // ∂L/∂c_ij
      teacherUnit.forEach((x, k) => (byCosine[j][k] += byLogit * x));
      slopes.forEach((g, k) => (byMixture[j][k] += a[j] * g));
    });
    return a;
  });

  const gradient = student.map((s, j) => {
    const along = norm === l2Norm ? entering[j] : new Float64Array(s.length).fill(1);
    const first = throughNorm(byCosine[j], s, l2Norm, cosineUnits[j]);
    const second = throughNorm(byMixture[j], s, norm, along);
    return first.map((x, k) => x + second[k]);
  });
  return { value, weights, gradient };
}

// Eq. 10-11: s̃_j = ReLU(W s_j/|s_j|_1 + b) in the place of s_j, 0 in masked cells.
function projectedLoss(teacher, student, weight, bias, counts, options) {
  const units = student.map((s) => unit(s, l1Norm(s)));
  const affine = units.map((u) => weight.map((row, k) => dot(u, row) + bias[k]));
  const active = affine.map((cells) => cells.map((x, k) => counts[k] && x > 0));
  const projected = affine.map((cells, j) =>
    Float64Array.from(cells, (x, k) => (active[j][k] ? x : 0)),
  );
  const loss = alignedLoss(teacher, projected, options);
  const ones = new Float64Array(bias.length).fill(1);
  const gradient = loss.gradient.map((upstream, j) => {
    const kept = upstream.map((g, k) => (active[j][k] ? g : 0));
    return throughNorm(combination(kept, weight), student[j], l1Norm, ones); // Wᵀ g
  });
  return { ...loss, gradient };
}

// ---- maps [B][H][Q][K] --------------------------------------------------------------------------

// One sample. Masked cells become 0 before anything else; then whole maps, or row by row (eq. 12).
function sampleLoss(teacher, student, mask, inputs, options) {
  const [queries, keys] = [teacher[0].length, teacher[0][0].length];
  const counts = (q, k) => mask === null || mask[q][k];
  const masked = (head) => head.map((row, q) => row.map((x, k) => (counts(q, k) ? x : 0)));
  const [t, s] = [teacher.map(masked), student.map(masked)];

  if (options.variant === "token") {
    const row = (q) => (head) => Float64Array.from(head[q]);
    const rows = t[0].map((_, q) => alignedLoss(t.map(row(q)), s.map(row(q)), options));
    return {
      value: total(rows.map((r) => r.value)),
      weights: rows.map((r) => r.weights),
      gradient: s.map((_, j) => rows.map((r) => Array.from(r.gradient[j]))),
    };
  }
  const flat = (head) => Float64Array.from(head.flat());
  const loss =
    options.variant === "projected"
      ? projectedLoss(
          t.map(flat), s.map(flat), inputs.weight.values, inputs.bias.values,
          Array.from({ length: queries * keys }, (_, k) => counts(Math.floor(k / keys), k % keys)),
          options,
        )
      : alignedLoss(t.map(flat), s.map(flat), options);
  const asMap = (cells) =>
    Array.from({ length: queries }, (_, q) => Array.from(cells.slice(q * keys, (q + 1) * keys)));
  return { ...loss, gradient: loss.gradient.map(asMap) };
}

// One case of the vectors. The gradient is that of the value, or of its sum if it is a list.
export function amadLoss({ configuration, inputs }) {
  const { teacher, student, mask } = inputs;
  const samples = teacher.values.map((maps, b) =>
    sampleLoss(maps, student.values[b], mask && mask.values[b], inputs, configuration),
  );
  const values = samples.map((sample) => sample.value);
  const share = configuration.reduction === "mean" ? 1 / samples.length : 1;
  const counted = (b, q, k) => mask === null || mask.values[b][q][k];
  return {
    value: configuration.reduction === "none" ? values : total(values) * share,
    weights: samples.map((sample) => sample.weights),
    grad_student: samples.map((sample, b) =>
      sample.gradient.map((head) =>
        head.map((row, q) => row.map((x, k) => (counted(b, q, k) ? x * share : 0))),
      ),
    ),
  };
}

// ---- files --------------------------------------------------------------------------------------

// JSON has no infinities: they are strings in the results.
const jsonNumber = (_, x) =>
  typeof x === "number" && !Number.isFinite(x) ? String(x).replace("Infinity", "inf").toLowerCase() : x;

function main(vectorsDirectory, resultsFile) {
  const results = {};
  const checksums = {};
  for (const variant of Object.keys(VARIANTS)) {
    const path = join(vectorsDirectory, `${variant}.json`);
    if (!existsSync(path)) continue;
    const vectors = JSON.parse(readFileSync(path, "utf8"));
    checksums[variant] = vectors.checksum;
    for (const vector of vectors.cases) results[vector.id] = amadLoss(vector);
  }
  if (Object.keys(results).length === 0) {
    console.error(
      `amad.mjs: no vectors in ${vectorsDirectory}: expected ${Object.keys(VARIANTS).join(".json, ")}.json; ` +
        `write them with: amad vectors export ${vectorsDirectory}`,
    );
    process.exit(2);
  }
  const document = { format: "amad-results/1", port: "amad.mjs (Node.js)", checksums, results };
  writeFileSync(resultsFile, JSON.stringify(document, jsonNumber));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  if (process.argv.length !== 4) {
    console.error("usage: node amad.mjs VECTORS_DIR RESULTS.json");
    process.exit(2);
  }
  main(process.argv[2], process.argv[3]);
}
