import { createContext, useContext } from "react";

/** False where a run is shown as it was at some moment: it can be read, and nothing can be done to it. */
export const Acting = createContext(true);

export const useActing = () => useContext(Acting);
