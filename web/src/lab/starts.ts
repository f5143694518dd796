// Situations of the lectures to begin with; each on top of the engine's defaults.

export interface Start { id: string; controls: Record<string, unknown> }

export const STARTS: Start[] = [
  { id: "vanishing", controls: {} },
  { id: "revived", controls: { activation: "relu", init: "he" } },
  { id: "tanh", controls: { activation: "tanh", init: "xavier" } },
  { id: "normal", controls: { activation: "tanh", init: "normal", scale: 1, depth: 10, width: 100 } },
  { id: "small", controls: { activation: "tanh", init: "normal", scale: 0.01, depth: 10, width: 100 } },
  { id: "dying", controls: { activation: "relu", init: "he", bias: -10, depth: 5 } },
  { id: "overfitting", controls: { activation: "relu", init: "he", depth: 6, width: 100, samples: 300 } },
  { id: "plane", controls: { activation: "relu", init: "he", depth: 4, width: 32, data: "spirals", learning_rate: 0.003 } },
  { id: "cnn", controls: { preset: "cnn", depth: 20, width: 16, activation: "sigmoid", init: "xavier" } },
];
