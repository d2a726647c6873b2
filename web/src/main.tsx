import "./ui/theme.css";
import "./ui/base.css";
import "./ui/controls.css";

import { createRoot } from "react-dom/client";

import { App } from "./App";
import { apply } from "./theme";

apply();
const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
