import { createRoot } from "react-dom/client";

import { App } from "./App";
import { apply } from "./theme";
import "./ui/theme.css";
import "./ui/base.css";
import "./ui/controls.css";

apply();
const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
